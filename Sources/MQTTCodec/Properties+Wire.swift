import NIOCore

extension PacketReader {
    /// The property section of a version 5 packet: its length and what stands in it (§2.2.2). Nothing is read for
    /// version 3, which has none.
    mutating func properties(of place: PropertyPlaces) throws(DecodeError) -> Properties {
        guard version == .v5 else { return Properties() }
        let length = try variableByteInteger()
        var properties = Properties()
        if length == 0 { return properties }
        var values = Properties.Values()
        try within(length) { (reader) throws(DecodeError) in
            var seen: UInt64 = 0
            while !reader.isAtEnd {
                try reader.property(of: place, seen: &seen, into: &values)
            }
        }
        // [5:§3.1.2.11.10] [5:§3.15.2.2.3] data belong to a method.
        if values.authenticationData != nil && values.authenticationMethod == nil {
            throw protocolError("[5:§3.1.2.11.10]", "authentication data without method")
        }
        properties.values = values
        return properties
    }

    private mutating func property(
        of place: PropertyPlaces,
        seen: inout UInt64,
        into values: inout Properties.Values
    ) throws(DecodeError) {
        let start = offset
        // An identifier is a Variable Byte Integer of which all known values take one byte.
        let number = try variableByteInteger()
        guard let raw = UInt8(exactly: number), let id = PropertyID(rawValue: raw) else {
            throw failure(.malformedPacket, at: start, "[5:§2.2.2.2]", "unknown property")
        }
        guard id.places.contains(place) else {
            throw failure(.malformedPacket, at: start, "[5:§2.2.2.2]", "property that this packet may not carry")
        }
        let bit: UInt64 = 1 << UInt64(raw)
        let isRepeated = seen & bit != 0
        seen |= bit
        switch id {
        // [5:§3.1.2.11.8]
        case .userProperty: break
        case .subscriptionIdentifier where place == .publish:
            // [5:MQTT-3.3.4-6]
            if role == .server {
                throw failure(.protocolError, at: start, "[5:MQTT-3.3.4-6]", "subscription identifier from a client")
            }
        // Once at most, each by its own section: in CONNECT [5:§3.1.2.11.2] [5:§3.1.2.11.5] [5:§3.1.2.11.9], in a will
        // [5:§3.1.3.2.2] [5:§3.1.3.2.3] [5:§3.1.3.2.4] [5:§3.1.3.2.5] [5:§3.1.3.2.6] [5:§3.1.3.2.7], in PUBLISH
        // [5:§3.3.2.3.3] [5:§3.3.2.3.5] [5:§3.3.2.3.6] [5:§3.3.2.3.9], in acknowledgements [5:§3.4.2.2.2] [5:§3.5.2.2.2]
        // [5:§3.6.2.2.2] [5:§3.7.2.2.2], in DISCONNECT [5:§3.14.2.2.3] [5:§3.14.2.2.5], in AUTH [5:§3.15.2.2.4].
        default:
            if isRepeated { throw failure(.protocolError, at: start, "[5:§2.2.2.2]", "property given twice") }
        }
        try value(of: id, at: start, into: &values)
    }

    private mutating func value(
        of id: PropertyID,
        at start: Int,
        into values: inout Properties.Values
    ) throws(DecodeError) {
        switch id {
        case .payloadFormatIndicator:
            values.payloadFormatIndicator = try flag("[5:§3.3.2.3.2]", at: start) ? 1 : 0
        case .messageExpiryInterval: values.messageExpiryInterval = try fourByteInteger()
        // [5:MQTT-3.3.2-19]
        case .contentType: values.contentType = try string()
        case .responseTopic: values.responseTopic = try responseTopic(at: start)
        case .correlationData: values.correlationData = try binaryData()
        case .subscriptionIdentifier: try subscriptionIdentifier(at: start, into: &values.subscriptionIdentifiers)
        case .sessionExpiryInterval: values.sessionExpiryInterval = try fourByteInteger()
        case .assignedClientIdentifier: values.assignedClientIdentifier = try string()
        case .serverKeepAlive: values.serverKeepAlive = try twoByteInteger()
        case .authenticationMethod: values.authenticationMethod = try string()
        case .authenticationData: values.authenticationData = try binaryData()
        case .requestProblemInformation:
            values.requestProblemInformation = try flag("[5:§3.1.2.11.7]", at: start)
        case .willDelayInterval: values.willDelayInterval = try fourByteInteger()
        case .requestResponseInformation:
            values.requestResponseInformation = try flag("[5:§3.1.2.11.6]", at: start)
        case .responseInformation: values.responseInformation = try string()
        case .serverReference: values.serverReference = try string()
        case .reasonString: values.reasonString = try string()
        case .receiveMaximum:
            let maximum = try twoByteInteger()
            if maximum == 0 { throw failure(.protocolError, at: start, "[5:§3.1.2.11.3]", "receive maximum 0") }
            values.receiveMaximum = maximum
        case .topicAliasMaximum: values.topicAliasMaximum = try twoByteInteger()
        case .topicAlias:
            let alias = try twoByteInteger()
            // [5:MQTT-3.3.2-8]
            if alias == 0 { throw failure(.topicAliasInvalid, at: start, "[5:MQTT-3.3.2-8]", "topic alias 0") }
            values.topicAlias = alias
        case .maximumQoS: values.maximumQoS = try flag("[5:§3.2.2.3.4]", at: start) ? .atLeastOnce : .atMostOnce
        case .retainAvailable: values.retainAvailable = try flag("[5:§3.2.2.3.5]", at: start)
        case .userProperty:
            guard values.userProperties.count < limits.maximumUserProperties else {
                throw overLimit("too many user properties")
            }
            // [5:MQTT-1.5.7-1] both are strings like all others.
            let name = try string()
            let text = try string()
            // [5:MQTT-3.3.2-18] [5:MQTT-3.1.3-10] in the order of the packet.
            values.userProperties.append(Properties.UserProperty(name, text))
        case .maximumPacketSize:
            let size = try fourByteInteger()
            if size == 0 { throw failure(.protocolError, at: start, "[5:§3.1.2.11.4]", "maximum packet size 0") }
            values.maximumPacketSize = size
        case .wildcardSubscriptionAvailable:
            values.wildcardSubscriptionAvailable = try flag("[5:§3.2.2.3.11]", at: start)
        case .subscriptionIdentifiersAvailable:
            values.subscriptionIdentifiersAvailable = try flag("[5:§3.2.2.3.12]", at: start)
        case .sharedSubscriptionAvailable:
            values.sharedSubscriptionAvailable = try flag("[5:§3.2.2.3.13]", at: start)
        }
    }

    /// A byte that is 0 or 1.
    private mutating func flag(_ section: String, at start: Int) throws(DecodeError) -> Bool {
        switch try byte() {
        case 0: return false
        case 1: return true
        default: throw failure(.protocolError, at: start, section, "property value other than 0 and 1")
        }
    }

    private mutating func responseTopic(at start: Int) throws(DecodeError) -> MQTTString {
        do throws(DecodeError) {
            // [5:MQTT-3.3.2-14] no wildcards [5:MQTT-3.3.2-13] in a UTF-8 string.
            return try topicName()
        } catch {
            // The topic of the message itself is fine, which is what 0x90 would deny.
            guard error.reason == .topicNameInvalid else { throw error }
            throw failure(.protocolError, at: start, "[5:MQTT-3.3.2-14]", "response topic is not a topic name")
        }
    }

    private mutating func subscriptionIdentifier(at start: Int, into list: inout [UInt32]) throws(DecodeError) {
        guard list.count < limits.maximumSubscriptionIdentifiers else {
            throw overLimit("too many subscription identifiers")
        }
        let value = try variableByteInteger()
        guard value > 0, let identifier = UInt32(exactly: value) else {
            throw failure(.protocolError, at: start, "[5:§3.8.2.1.2]", "subscription identifier 0")
        }
        list.append(identifier)
    }

    private func failure(
        _ reason: ReasonCode,
        at offset: Int,
        _ statement: String,
        _ explanation: String
    ) -> DecodeError {
        DecodeError(reason: reason, statement: statement, explanation: explanation, offset: offset)
    }
}

extension Properties {
    /// Bytes that these properties take in a PUBLISH, without their length: what a message holds besides its topic and
    /// payload. 64 user properties may weigh more than any payload, so limits count them too.
    ///
    /// - Complexity: O(properties), nothing for the many messages that have none.
    package var publishBytes: Int {
        guard !isEmpty else { return 0 }
        var size = SizeCounter()
        size.propertyFields(values, of: .publish)
        return size.count
    }
}

extension WireSink {
    /// Length and properties (§2.2.2); nothing for version 3. Only those that `place` may carry are written, so
    /// that no packet of ours is malformed because a value was left over.
    mutating func properties(_ properties: Properties, of place: PropertyPlaces, version: ProtocolVersion) {
        guard version == .v5 else { return }
        // [5:MQTT-2.2.2-1] without properties the length 0 is written.
        if properties.isEmpty {
            byte(0)
            return
        }
        let values = properties.values
        var size = SizeCounter()
        size.propertyFields(values, of: place)
        if !size.isRepresentable { fieldTooLong() }
        variableByteInteger(size.count)
        propertyFields(values, of: place)
    }

    /// The properties without their length: by number, and behind them what belongs to the receiver rather than to
    /// the message, as `PublishEncoder` has to write it.
    mutating func propertyFields(_ values: Properties.Values, of place: PropertyPlaces) {
        func takes(_ id: PropertyID) -> Bool { id.places.contains(place) }
        if takes(.payloadFormatIndicator) { field(.payloadFormatIndicator, byte: values.payloadFormatIndicator) }
        if takes(.messageExpiryInterval) { field(.messageExpiryInterval, four: values.messageExpiryInterval) }
        if takes(.contentType) { field(.contentType, string: values.contentType) }
        if takes(.responseTopic) { field(.responseTopic, string: values.responseTopic) }
        if takes(.correlationData) { field(.correlationData, data: values.correlationData) }
        if takes(.sessionExpiryInterval) { field(.sessionExpiryInterval, four: values.sessionExpiryInterval) }
        if takes(.assignedClientIdentifier) {
            field(.assignedClientIdentifier, string: values.assignedClientIdentifier)
            field(.serverKeepAlive, two: values.serverKeepAlive)
        }
        if takes(.authenticationMethod) {
            field(.authenticationMethod, string: values.authenticationMethod)
            field(.authenticationData, data: values.authenticationData)
        }
        if takes(.requestProblemInformation) {
            field(.requestProblemInformation, flag: values.requestProblemInformation)
        }
        if takes(.willDelayInterval) { field(.willDelayInterval, four: values.willDelayInterval) }
        if takes(.requestResponseInformation) {
            field(.requestResponseInformation, flag: values.requestResponseInformation)
        }
        if takes(.responseInformation) { field(.responseInformation, string: values.responseInformation) }
        if takes(.serverReference) { field(.serverReference, string: values.serverReference) }
        if takes(.reasonString) { field(.reasonString, string: values.reasonString) }
        if takes(.receiveMaximum) {
            field(.receiveMaximum, two: values.receiveMaximum)
            field(.topicAliasMaximum, two: values.topicAliasMaximum)
        }
        if takes(.topicAlias) { field(.topicAlias, two: values.topicAlias) }
        if takes(.maximumQoS) {
            field(.maximumQoS, byte: values.maximumQoS?.rawValue)
            field(.retainAvailable, flag: values.retainAvailable)
        }
        for pair in values.userProperties {
            byte(PropertyID.userProperty.rawValue)
            string(pair.name)
            string(pair.value)
        }
        if takes(.maximumPacketSize) { field(.maximumPacketSize, four: values.maximumPacketSize) }
        if takes(.wildcardSubscriptionAvailable) {
            field(.wildcardSubscriptionAvailable, flag: values.wildcardSubscriptionAvailable)
            field(.subscriptionIdentifiersAvailable, flag: values.subscriptionIdentifiersAvailable)
            field(.sharedSubscriptionAvailable, flag: values.sharedSubscriptionAvailable)
        }
        if takes(.subscriptionIdentifier) {
            for identifier in values.subscriptionIdentifiers {
                byte(PropertyID.subscriptionIdentifier.rawValue)
                variableByteInteger(Int(identifier))
            }
        }
    }

    private mutating func field(_ id: PropertyID, byte value: UInt8?) {
        guard let value else { return }
        byte(id.rawValue)
        byte(value)
    }

    private mutating func field(_ id: PropertyID, flag value: Bool?) {
        field(id, byte: value.map { $0 ? 1 : 0 })
    }

    private mutating func field(_ id: PropertyID, two value: UInt16?) {
        guard let value else { return }
        byte(id.rawValue)
        twoByteInteger(value)
    }

    private mutating func field(_ id: PropertyID, four value: UInt32?) {
        guard let value else { return }
        byte(id.rawValue)
        fourByteInteger(value)
    }

    private mutating func field(_ id: PropertyID, string value: MQTTString?) {
        guard let value else { return }
        byte(id.rawValue)
        string(value)
    }

    private mutating func field(_ id: PropertyID, data value: ByteBuffer?) {
        guard let value else { return }
        byte(id.rawValue)
        data(value)
    }
}

import NIOCore

/// The byte of CONNECT that says what stands in its payload (§3.1.2.3).
private struct ConnectFlags {
    var rawValue: UInt8

    func has(_ bit: UInt8) -> Bool { rawValue & bit != 0 }

    static let reserved: UInt8 = 0x01
    static let cleanStart: UInt8 = 0x02
    static let will: UInt8 = 0x04
    static let willRetain: UInt8 = 0x20
    static let password: UInt8 = 0x40
    static let username: UInt8 = 0x80

    var willQoS: UInt8 { rawValue >> 3 & 3 }
}

extension PacketReader {
    /// Protocol name and level (§3.1.2.1, §3.1.2.2), which say how all that follows is to be read.
    ///
    /// A wrong name or level is answered with 0x84, in version 3 with return code 1
    /// [5:MQTT-3.1.2-1] [5:MQTT-3.1.2-2] [311:MQTT-3.1.2-1] [311:MQTT-3.1.2-2].
    mutating func protocolVersion() throws(DecodeError) -> (version: ProtocolVersion, isBridge: Bool) {
        let name = try string()
        let start = offset
        let level = try byte()
        // Bridges set bit 7 of the levels that have no No Local option.
        let isBridge = level == 0x83 || level == 0x84
        guard let version = ProtocolVersion(rawValue: isBridge ? level & 0x7F : level),
            name == MQTTString(version.protocolName)
        else {
            throw DecodeError(
                reason: .unsupportedProtocolVersion,
                statement: name == "MQTT" ? "[5:MQTT-3.1.2-2]" : "[5:MQTT-3.1.2-1]",
                explanation: "unknown protocol name or level",
                offset: start
            )
        }
        return (version, isBridge)
    }

    /// CONNECT behind its protocol level.
    mutating func connect(version: ProtocolVersion, isBridge: Bool) throws(DecodeError) -> Connect {
        let flags = ConnectFlags(rawValue: try byte())
        try check(flags)
        var connect = Connect(version: version, clientID: "", cleanStart: flags.has(ConnectFlags.cleanStart))
        connect.isBridge = isBridge
        connect.keepAlive = try twoByteInteger()
        connect.properties = try properties(of: .connect)
        // [5:MQTT-3.1.3-1] [311:MQTT-3.1.3-1] client id, will properties, topic, payload, user name, password.
        connect.clientID = try string()
        if flags.has(ConnectFlags.will) { connect.will = try will(flags) }
        // 3.1 lets the remaining length win over the flags: a flagged field may be missing at the end.
        let mayLack = version == .v3_1
        if flags.has(ConnectFlags.username) && !(mayLack && isAtEnd) { connect.username = try string() }
        if flags.has(ConnectFlags.password) && !(mayLack && isAtEnd) { connect.password = try binaryData() }
        try expectEnd()
        return connect
    }

    private func check(_ flags: ConnectFlags) throws(DecodeError) {
        // 3.1 calls the bit unused and disregards QoS and RETAIN of a will that is not there.
        if version != .v3_1 {
            // [5:MQTT-3.1.2-3] [311:MQTT-3.1.2-3]
            if flags.has(ConnectFlags.reserved) {
                throw malformed(statement("[5:MQTT-3.1.2-3]", "[311:MQTT-3.1.2-3]"), "reserved connect flag set")
            }
            if !flags.has(ConnectFlags.will) {
                // [5:MQTT-3.1.2-11] [311:MQTT-3.1.2-13]
                if flags.willQoS != 0 {
                    throw malformed(statement("[5:MQTT-3.1.2-11]", "[311:MQTT-3.1.2-13]"), "will QoS without will")
                }
                // [5:MQTT-3.1.2-13] [311:MQTT-3.1.2-15]
                if flags.has(ConnectFlags.willRetain) {
                    throw malformed(statement("[5:MQTT-3.1.2-13]", "[311:MQTT-3.1.2-15]"), "will retain without will")
                }
            }
        }
        // [5:MQTT-3.1.2-12] [311:MQTT-3.1.2-14]
        if flags.has(ConnectFlags.will) && flags.willQoS == 3 {
            throw malformed(statement("[5:MQTT-3.1.2-12]", "[311:MQTT-3.1.2-14]"), "will QoS 3")
        }
        // [311:MQTT-3.1.2-22] Version 5 dropped the rule, for tokens that stand for a name too.
        if version != .v5 && flags.has(ConnectFlags.password) && !flags.has(ConnectFlags.username) {
            throw malformed("[311:MQTT-3.1.2-22]", "password without user name")
        }
    }

    private mutating func will(_ flags: ConnectFlags) throws(DecodeError) -> Connect.Will {
        let properties = try properties(of: .will)
        let topic = try topicName()
        let payload = try binaryData()
        return Connect.Will(
            topic: topic,
            payload: payload,
            qos: QoS(rawValue: flags.willQoS) ?? .atMostOnce,
            isRetained: flags.has(ConnectFlags.willRetain),
            properties: properties
        )
    }
}

extension WireSink {
    /// CONNECT behind the fixed header.
    mutating func connect(_ connect: Connect) {
        string(MQTTString(connect.version.protocolName))
        let isBridge = connect.isBridge && connect.version != .v5
        byte(connect.version.rawValue | (isBridge ? 0x80 : 0))
        // [311:MQTT-3.1.2-22] a password alone exists in version 5 only.
        let password = connect.version == .v5 || connect.username != nil ? connect.password : nil
        var flags: UInt8 = connect.cleanStart ? ConnectFlags.cleanStart : 0
        if let will = connect.will {
            flags |= ConnectFlags.will | will.qos.rawValue << 3
            if will.isRetained { flags |= ConnectFlags.willRetain }
        }
        // [5:MQTT-3.1.2-16] to [5:MQTT-3.1.2-19]: a flag for each field that follows, and no other.
        if connect.username != nil { flags |= ConnectFlags.username }
        if password != nil { flags |= ConnectFlags.password }
        byte(flags)
        twoByteInteger(connect.keepAlive)
        properties(connect.properties, of: .connect, version: connect.version)
        string(connect.clientID)
        if let will = connect.will {
            properties(will.properties, of: .will, version: connect.version)
            string(will.topic)
            data(will.payload)
        }
        if let username = connect.username { string(username) }
        if let password { data(password) }
    }
}

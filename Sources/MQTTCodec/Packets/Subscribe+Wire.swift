import NIOCore

extension PacketReader {
    mutating func subscribe() throws(DecodeError) -> Subscribe {
        let packetID = try packetID()
        let properties = try properties(of: .subscribe)
        // [5:MQTT-3.8.3-2] [311:MQTT-3.8.3-3]
        if isAtEnd {
            throw protocolError(statement("[5:MQTT-3.8.3-2]", "[311:MQTT-3.8.3-3]"), "SUBSCRIBE without a filter")
        }
        var entries: [Subscribe.Entry] = []
        while !isAtEnd {
            guard entries.count < limits.maximumFiltersPerPacket else { throw overLimit("too many filters") }
            let filter = try topicFilter()
            let start = offset
            let raw = try byte()
            guard version == .v5 || raw & 0xFC == 0, let options = SubscriptionOptions(rawValue: raw) else {
                throw impossible(raw, at: start)
            }
            // [5:MQTT-3.8.3-4]
            if options.noLocal && filter.isShared {
                throw protocolError("[5:MQTT-3.8.3-4]", "No Local on a shared subscription")
            }
            entries.append(Subscribe.Entry(filter: filter, options: options))
        }
        return Subscribe(packetID: packetID, subscriptions: entries, properties: properties)
    }

    /// What is wrong with an options byte.
    private func impossible(_ options: UInt8, at offset: Int) -> DecodeError {
        if version == .v5, options & 0xC0 == 0 {
            return DecodeError(
                reason: .protocolError,
                statement: "[5:§3.8.3.1]",
                explanation: options & 3 == 3 ? "maximum QoS 3" : "retain handling 3",
                offset: offset
            )
        }
        // [5:MQTT-3.8.3-5] Version 3 has the QoS only; the other bits are reserved and 0 [311:MQTT-3.8.3-4].
        return DecodeError(
            reason: .malformedPacket,
            statement: statement("[5:MQTT-3.8.3-5]", "[311:MQTT-3.8.3-4]"),
            explanation: "impossible subscription options",
            offset: offset
        )
    }
}

extension WireSink {
    mutating func subscribe(_ subscribe: Subscribe, version: ProtocolVersion) {
        twoByteInteger(subscribe.packetID)
        properties(subscribe.properties, of: .subscribe, version: version)
        for entry in subscribe.subscriptions {
            string(entry.filter.text)
            byte(version == .v5 ? entry.options.rawValue : entry.options.maximumQoS.rawValue)
        }
    }
}

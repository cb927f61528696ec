import NIOCore

extension PacketReader {
    mutating func unsubscribe() throws(DecodeError) -> Unsubscribe {
        let packetID = try packetID()
        let properties = try properties(of: .unsubscribe)
        // [5:MQTT-3.10.3-2] [311:MQTT-3.10.3-2]
        if isAtEnd {
            throw protocolError(statement("[5:MQTT-3.10.3-2]", "[311:MQTT-3.10.3-2]"), "UNSUBSCRIBE without a filter")
        }
        var filters: [TopicFilter] = []
        while !isAtEnd {
            guard filters.count < limits.maximumFiltersPerPacket else { throw overLimit("too many filters") }
            filters.append(try topicFilter())
        }
        return Unsubscribe(packetID: packetID, filters: filters, properties: properties)
    }
}

extension WireSink {
    mutating func unsubscribe(_ unsubscribe: Unsubscribe, version: ProtocolVersion) {
        twoByteInteger(unsubscribe.packetID)
        properties(unsubscribe.properties, of: .unsubscribe, version: version)
        for filter in unsubscribe.filters { string(filter.text) }
    }
}

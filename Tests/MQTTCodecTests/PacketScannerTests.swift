import MQTTCodec
import NIOCore
import Testing

@Suite("Packet scanner")
struct PacketScannerTests {
    private func encoded(_ packet: Packet, _ version: ProtocolVersion) -> ByteBuffer {
        var buffer = ByteBuffer()
        PacketEncoder.write(packet, version: version, into: &buffer)
        return buffer
    }

    private func scan(_ buffer: ByteBuffer, _ version: ProtocolVersion) -> (seen: PacketScanner.Seen, offset: Int) {
        var offset = 0
        let seen = buffer.withUnsafeReadableBytes { PacketScanner(version: version).next($0, at: &offset) }
        return (seen, offset)
    }

    @Test(
        "it sees the payload that the decoder sees", arguments: ProtocolVersion.allCases,
        [QoS.atMostOnce, .exactlyOnce])
    func publish(version: ProtocolVersion, qos: QoS) throws {
        for size in [0, 1, 100, 20_000] {
            var publish = Publish(
                topic: "a/topic",
                payload: ByteBuffer(repeating: 7, count: size),
                qos: qos,
                packetID: qos == .atMostOnce ? 0 : 513
            )
            if version == .v5 { publish.properties.contentType = "text/plain" }
            let buffer = encoded(.publish(publish), version)
            let (seen, offset) = scan(buffer, version)
            let end = buffer.readableBytes
            #expect(seen == .publish(qos: qos, packetID: publish.packetID, payload: end - size..<end))
            #expect(offset == end)
            // Not here as a whole, wherever it ends.
            for length in [1, 2, 3, 5, end - 1] where length < end {
                let cut = scan(try #require(buffer.getSlice(at: 0, length: length)), version)
                #expect(cut.seen == .unknown && cut.offset == 0)
            }
        }
    }

    @Test("it sees acknowledgements in their shortest form, and leaves reasons to the decoder")
    func acknowledgements() {
        let ack = PublishAck(packetID: 4660)
        for (packet, type) in [
            (Packet.pubAck(ack), PacketEncoder.AckType.pubAck), (.pubRec(ack), .pubRec), (.pubRel(ack), .pubRel),
            (.pubComp(ack), .pubComp),
        ] {
            let (seen, offset) = scan(encoded(packet, .v5), .v5)
            #expect(seen == .ack(type, packetID: 4660) && offset == 4)
        }
        let refusal = PublishAck(packetID: 1, reason: .quotaExceeded)
        #expect(scan(encoded(.pubAck(refusal), .v5), .v5).seen == .unknown)
    }

    @Test("whatever is malformed is left to the decoder")
    func malformed() {
        for bytes: [UInt8] in [
            [0x36, 5, 0, 1, 97, 0, 1], [0x30, 4, 0, 9, 97, 97], [0x32, 5, 0, 1, 97, 0, 0], [0x32, 3, 0, 1, 97],
            [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], [0x30, 4, 0, 1, 97, 9], [0x40, 2, 0, 0], [0x20, 2, 0, 0],
            [0x41, 2, 0, 1],
        ] {
            let (seen, offset) = scan(ByteBuffer(bytes: bytes), .v5)
            #expect(seen == .unknown && offset == 0, "\(bytes)")
        }
    }
}

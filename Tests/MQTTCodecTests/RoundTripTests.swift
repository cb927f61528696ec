import MQTTCodec
import NIOCore
import Testing

@Suite("Round trips")
struct RoundTripTests {
    @Test(
        "ten thousand packets of each version and side come back as they were written, in the size that was said",
        arguments: ProtocolVersion.allCases, [PacketDecoder.Role.server, .client])
    func packets(version: ProtocolVersion, role: PacketDecoder.Role) throws {
        var generator = PacketGenerator(seed: 1_883, version: version, role: role)
        var decoder = PacketDecoder(role: role, version: version)
        var buffer = ByteBuffer()
        for _ in 0..<100 {
            var packets: [Packet] = []
            for _ in 0..<100 {
                let packet = generator.packet()
                let before = buffer.readableBytes
                try #require(PacketEncoder.write(packet, version: version, into: &buffer))
                let size = PacketEncoder.size(of: packet, version: version)
                #expect(buffer.readableBytes - before == size)
                packets.append(packet)
            }
            for packet in packets {
                let decoded = try decoder.next(from: &buffer)
                #expect(decoded == packet)
            }
            #expect(buffer.readableBytes == 0)
            buffer.clear()
        }
    }

    @Test("three thousand CONNECTs of each version come back as they were written", arguments: ProtocolVersion.allCases)
    func connects(version: ProtocolVersion) throws {
        var generator = PacketGenerator(seed: 5, version: version, role: .server)
        for _ in 0..<3_000 {
            let connect = Packet.connect(generator.connect())
            var buffer = ByteBuffer()
            try #require(PacketEncoder.write(connect, version: version, into: &buffer))
            #expect(buffer.readableBytes == PacketEncoder.size(of: connect, version: version))
            var decoder = PacketDecoder(role: .server)
            let decoded = try decoder.next(from: &buffer)
            #expect(decoded == connect)
            #expect(decoder.version == version)
            #expect(buffer.readableBytes == 0)
        }
    }
}

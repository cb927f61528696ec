import MQTTCodec
import NIOCore
import Testing

@Suite("Marks of links on the wire")
struct LinkMarkTests {
    private static let id = MessageID(high: 0x0006_440B_E1A2_C3D4, low: 0xABC << 16 | 1)
    private static let stream = StreamID(node: 0xABC, receiver: 7)
    private static let marks = [
        LinkMark(id: id, hops: 1), LinkMark(id: id, hops: 255, stream: stream),
        LinkMark(id: MessageID(high: 0, low: 0), hops: 10, stream: StreamID(node: 0, receiver: 0)),
        LinkMark(id: MessageID(high: .max, low: .max), hops: 99, stream: StreamID(node: .max, receiver: .max)),
    ]

    private static func packet(_ mark: LinkMark?, _ properties: [Properties.UserProperty] = []) -> Packet {
        var publish = Publish(
            topic: "a/b", payload: ByteBuffer(string: "x"), qos: .atLeastOnce, packetID: 9, mark: mark)
        publish.properties.userProperties = properties
        return .publish(publish)
    }

    private static func bytes(_ packet: Packet) -> ByteBuffer {
        var buffer = ByteBuffer()
        PacketEncoder.write(packet, version: .v5, into: &buffer)
        return buffer
    }

    /// Twice: the second PUBLISH has the topic of the one before.
    private static func decode(_ bytes: ByteBuffer) throws -> [Packet?] {
        var decoder = PacketDecoder(role: .client)
        return try (0..<2).map { _ in
            var bytes = bytes
            let packet = try decoder.next(from: &bytes)
            #expect(bytes.readableBytes == 0)
            return packet
        }
    }

    @Test("a mark is read as it was written, alone and beside other properties", arguments: marks)
    func wire(mark: LinkMark) throws {
        #expect(LinkMark(mark.text) == mark)
        for others in [[], [Properties.UserProperty("colour", "red")]] {
            let packet = Self.packet(mark, others)
            let bytes = Self.bytes(packet)
            #expect(bytes.readableBytes == PacketEncoder.size(of: packet, version: .v5))
            #expect(try Self.decode(bytes) == [packet, packet])
            // It is a user property like others, the last one.
            let plain = Self.packet(nil, others + [.init(LinkMark.name, MQTTString(mark.text))])
            #expect(Self.bytes(plain) == bytes)
        }
    }

    @Test("fields of a later version are skipped, and their text is looked at as all text is")
    func later() throws {
        let mark = Self.marks[1]
        #expect(LinkMark(mark.text + ";later=1") == mark)
        let text = MQTTString(mark.text + ";later=1")
        let bytes = Self.bytes(Self.packet(nil, [.init(LinkMark.name, text)]))
        #expect(try Self.decode(bytes) == [Self.packet(mark), Self.packet(mark)])
        var broken = bytes
        // The `1` becomes a byte that no UTF-8 has; the payload of one byte is behind it.
        broken.setInteger(UInt8(0xFF), at: broken.writerIndex - 2)
        #expect(throws: DecodeError.self) { try Self.decode(broken) }
    }

    @Test(
        "what no Drawbridge wrote is no mark, and no property either",
        arguments: [
            "", "id", ";", "=", "id=\(id)", "hops=1", "id=\(id);hops=0", "id=\(id);hops=256", "id=\(id);hops=-1",
            "id=\(id);hops=1x", "id=+\(id.description.dropFirst());hops=1", "id=0\(id);hops=1", "node=abc",
            "id=\(id.description.replacing("6", with: "g"));hops=1", "id=ggggggg7ggggggg7ggggggg7ggggggg7;hops=1",
            "id=\(id.description.replacing("a", with: "o"));hops=1",
        ]
    )
    func wrong(text: String) throws {
        #expect(LinkMark(text) == nil)
        let bytes = Self.bytes(Self.packet(nil, [.init(LinkMark.name, MQTTString(text))]))
        #expect(try Self.decode(bytes) == [Self.packet(nil), Self.packet(nil)])
    }

    @Test("a stream that is none is left out; capital digits and leading zeros are read")
    func spelling() throws {
        #expect(LinkMark("id=\(Self.id);hops=1;stream=x.y") == LinkMark(id: Self.id, hops: 1))
        let loud = "id=\(Self.id.description.uppercased());hops=01;stream=0ABC.07"
        #expect(LinkMark(loud) == LinkMark(id: Self.id, hops: 1, stream: Self.stream))
        let bytes = Self.bytes(Self.packet(nil, [.init(LinkMark.name, MQTTString(loud))]))
        #expect(try Self.decode(bytes).last == Self.packet(LinkMark(id: Self.id, hops: 1, stream: Self.stream)))
    }

    @Test("version 3 has no marks")
    func version3() throws {
        var buffer = ByteBuffer()
        PacketEncoder.write(Self.packet(Self.marks[0]), version: .v3_1_1, into: &buffer)
        var decoder = PacketDecoder(role: .client, version: .v3_1_1)
        #expect(try decoder.next(from: &buffer) == Self.packet(nil))
    }
}

import MQTTCodec
import NIOCore
import Testing

@Suite struct FirstRoundTrips {
    @Test("a PUBLISH comes back as it was written", arguments: ProtocolVersion.allCases)
    func publish(version: ProtocolVersion) throws {
        let publish = Publish(topic: "room/1", payload: ByteBuffer(string: "hello"), qos: .atLeastOnce, packetID: 7)
        var buffer = ByteBuffer()
        #expect(PacketEncoder.write(.publish(publish), version: version, into: &buffer))
        var decoder = PacketDecoder(role: .server, version: version)
        #expect(try decoder.next(from: &buffer) == .publish(publish))
    }

    @Test("a CONNECT comes back as it was written", arguments: ProtocolVersion.allCases)
    func connect(version: ProtocolVersion) throws {
        var connect = Connect(version: version, clientID: "c", keepAlive: 10, username: "u")
        connect.password = ByteBuffer(string: "p")
        connect.will = Connect.Will(
            topic: "t", payload: ByteBuffer(string: "gone"), qos: .exactlyOnce, isRetained: true)
        if version == .v5 { connect.properties.receiveMaximum = 3 }
        var buffer = ByteBuffer()
        #expect(PacketEncoder.write(.connect(connect), version: version, into: &buffer))
        var decoder = PacketDecoder(role: .server)
        #expect(try decoder.next(from: &buffer) == .connect(connect))
        #expect(decoder.version == version)
    }
}

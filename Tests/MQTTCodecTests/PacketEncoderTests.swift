import MQTTCodec
import NIOCore
import Testing

@Suite("The packet encoder")
struct PacketEncoderTests {
    private func bytes(_ packet: Packet, _ version: ProtocolVersion) -> [UInt8] {
        var buffer = ByteBuffer()
        let isWritten = PacketEncoder.write(packet, version: version, into: &buffer)
        #expect(isWritten == (buffer.readableBytes > 0))
        #expect(PacketEncoder.size(of: packet, version: version) == buffer.readableBytes)
        return Array(buffer.readableBytesView)
    }

    @Test("an acknowledgement of the message path has the bytes of the packet", arguments: ProtocolVersion.allCases)
    func acks(version: ProtocolVersion) {
        let types: [(PacketEncoder.AckType, (PublishAck) -> Packet)] = [
            (.pubAck, Packet.pubAck), (.pubRec, Packet.pubRec), (.pubRel, Packet.pubRel), (.pubComp, Packet.pubComp),
        ]
        for (type, packet) in types {
            for reason in [ReasonCode.success, .packetIdentifierNotFound, .quotaExceeded] {
                for id: UInt16 in [1, 255, 256, 65_535] {
                    var buffer = ByteBuffer()
                    PacketEncoder.writeAck(type, packetID: id, reason: reason, version: version, into: &buffer)
                    let expected = bytes(packet(PublishAck(packetID: id, reason: reason)), version)
                    #expect(Array(buffer.readableBytesView) == expected)
                }
            }
        }
    }

    @Test("version 3 has no AUTH, no DISCONNECT with a reason and no CONNACK without a return code")
    func impossible() {
        for version in [ProtocolVersion.v3_1, .v3_1_1] {
            #expect(bytes(.auth(Auth()), version).isEmpty)
            #expect(bytes(.disconnect(Disconnect(reason: .serverShuttingDown)), version).isEmpty)
            // [311:MQTT-3.2.2-6]
            #expect(bytes(.connAck(ConnAck(reason: .malformedPacket)), version).isEmpty)
            #expect(bytes(.disconnect(Disconnect()), version) == [0xE0, 0])
        }
    }

    @Test(
        "reasons become return codes in version 3",
        arguments: [
            (ReasonCode.success, UInt8(0)), (.unsupportedProtocolVersion, 1), (.clientIdentifierNotValid, 2),
            (.serverUnavailable, 3), (.serverBusy, 3), (.badUserNameOrPassword, 4), (.notAuthorized, 5), (.banned, 5),
        ])
    func returnCodes(reason: ReasonCode, code: UInt8) {
        #expect(reason.connectReturnCode == code)
        #expect(bytes(.connAck(ConnAck(reason: reason)), .v3_1_1) == [0x20, 2, 0, code])
    }

    @Test("properties are not written in version 3, and never where they may not stand")
    func foreignProperties() {
        var properties = Properties()
        properties.reasonString = "no"
        properties.topicAlias = 3
        let ack = Packet.pubAck(PublishAck(packetID: 1, properties: properties))
        #expect(bytes(ack, .v3_1_1) == [0x40, 2, 0, 1])
        #expect(bytes(ack, .v5) == [0x40, 9, 0, 1, 0, 5, 0x1F, 0, 2, 0x6E, 0x6F])
    }

    @Test("every failure in a SUBACK is 0x80 in version 3 [311:MQTT-3.9.3-2]")
    func subAck() {
        let subAck = Packet.subAck(SubAck(packetID: 1, reasons: [.grantedQoS2, .notAuthorized, .quotaExceeded]))
        #expect(bytes(subAck, .v3_1_1) == [0x90, 5, 0, 1, 2, 0x80, 0x80])
        #expect(bytes(subAck, .v5) == [0x90, 6, 0, 1, 0, 2, 0x87, 0x97])
    }

    @Test("a refusal never says that a session is present [5:MQTT-3.2.2-6] [311:MQTT-3.2.2-4]")
    func refusal() {
        let connAck = Packet.connAck(ConnAck(reason: .notAuthorized, isSessionPresent: true))
        #expect(bytes(connAck, .v3_1_1) == [0x20, 2, 0, 5])
        #expect(bytes(connAck, .v5) == [0x20, 3, 0, 0x87, 0])
    }

    @Test("what does not fit its length field is not written")
    func tooLong() {
        let long = MQTTString(String(repeating: "a", count: 65_536))
        #expect(bytes(.publish(Publish(topic: long, payload: ByteBuffer())), .v5).isEmpty)
        var properties = Properties()
        properties.contentType = long
        #expect(bytes(.publish(Publish(topic: "t", payload: ByteBuffer(), properties: properties)), .v5).isEmpty)
        properties = Properties()
        properties.subscriptionIdentifiers = [268_435_456]
        #expect(bytes(.publish(Publish(topic: "t", payload: ByteBuffer(), properties: properties)), .v5).isEmpty)
        let longest = MQTTString(String(repeating: "a", count: 65_535))
        #expect(bytes(.publish(Publish(topic: longest, payload: ByteBuffer())), .v5).count == 4 + 2 + 65_535 + 1)
    }

    @Test("DUP is never written with QoS 0 [5:MQTT-3.3.1-2] [311:MQTT-3.3.1-2]")
    func duplicate() {
        let publish = Publish(topic: "t", payload: ByteBuffer(), isDuplicate: true)
        #expect(bytes(.publish(publish), .v3_1_1) == [0x30, 3, 0, 1, 0x74])
    }
}

import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("The packet decoder")
struct PacketDecoderTests {
    private func verdict(_ decoder: inout PacketDecoder, _ bytes: [UInt8]) -> PacketCase.Verdict {
        var buffer = ByteBuffer(bytes: bytes)
        return PacketCase.verdict(of: &decoder, &buffer)
    }

    private func packet(_ first: UInt8, _ body: String, _ version: ProtocolVersion) -> [UInt8] {
        WireNotation.packet(first: first, body: body, version: version)
    }

    @Test("many packets in one buffer come out one by one")
    func stream() throws {
        var decoder = PacketDecoder(role: .server)
        var buffer = ByteBuffer(
            bytes: packet(0x10, "<MQTT> 05 02 0000 [] <c>", .v5) + [0xC0, 0] + packet(0x30, "<t> [] 'a'", .v5) + [0xC0])
        guard case .connect = try decoder.next(from: &buffer) else {
            Issue.record("no CONNECT")
            return
        }
        #expect(try decoder.next(from: &buffer) == .pingReq)
        #expect(try decoder.next(from: &buffer) == .publish(Publish(topic: "t", payload: ByteBuffer(string: "a"))))
        #expect(try decoder.next(from: &buffer) == nil)
        #expect(buffer.readableBytes == 1)
        buffer.writeInteger(UInt8(0))
        #expect(try decoder.next(from: &buffer) == .pingReq)
    }

    @Test("the version is known as soon as the protocol level was read, even when the rest is wrong")
    func versionOfWrongConnect() {
        let cases: [([UInt8], ProtocolVersion?)] = [
            (packet(0x10, "<MQTT> 05 03 0000 [] <c>", .v5), .v5),
            (packet(0x10, "<MQTT> 04 02 0000 <c> 00", .v3_1_1), .v3_1_1),
            (packet(0x10, "<MQIsdp> 03", .v3_1), .v3_1),
            (packet(0x10, "<MQTT> 06 02 0000 <c>", .v5), nil),
            (packet(0x10, "<HTTP> 04 02 0000 <c>", .v5), nil),
            (packet(0x10, "<MQTT>", .v5), nil),
            ([0xC0, 0], nil),
        ]
        for (bytes, version) in cases {
            var decoder = PacketDecoder(role: .server)
            guard case .error = verdict(&decoder, bytes) else {
                Issue.record("accepted \(bytes)")
                continue
            }
            #expect(decoder.version == version)
        }
    }

    @Test("what a cut packet lacks is known as soon as its length is")
    func missingBytes() throws {
        let decoder = PacketDecoder(role: .server, version: .v5)
        let publish = packet(0x30, "<t> [] x*300", .v5)
        for cut in 0...publish.count {
            let missing = decoder.missingBytes(of: ByteBuffer(bytes: publish[..<cut]))
            #expect(missing == (cut < 3 || cut == publish.count ? nil : publish.count - cut))
        }
        #expect(decoder.missingBytes(of: ByteBuffer(bytes: [0xC0, 1])) == nil)
    }

    @Test("who was wrong once stays wrong")
    func failure() {
        var decoder = PacketDecoder(role: .server, version: .v5)
        let first = verdict(&decoder, [0xC0, 1])
        #expect(first == .error(.malformedPacket, statement: "[5:§2.1.4]"))
        #expect(verdict(&decoder, [0xC0, 0]) == first)
    }

    @Test("the topic of the PUBLISH before is known again only when every byte is the same")
    func lastTopic() throws {
        var decoder = PacketDecoder(role: .server, version: .v5)
        let topics = [
            "a/b", "a/b", "a/c", "a", "a/b/c", "é", "e\u{301}", "é", "room/1234567890123456", "room/1234567890123457",
            "room/1234567890123457",
        ]
        for topic in topics {
            var buffer = ByteBuffer(bytes: packet(0x30, "<\(topic)> [] 'x'", .v5))
            guard case .publish(let publish) = try decoder.next(from: &buffer) else {
                Issue.record("no PUBLISH")
                return
            }
            #expect(publish.topic == MQTTString(topic))
        }
        // An alias between leaves the topic as it was; a wrong topic is wrong behind a right one too.
        #expect(verdict(&decoder, packet(0x30, "<> [] 'x'", .v5)) == .error(.protocolError, statement: "[5:§3.3.2.1]"))
        var other = PacketDecoder(role: .server, version: .v3_1_1)
        #expect(verdict(&other, packet(0x30, "<a/b>", .v3_1_1)) != .incomplete)
        #expect(
            verdict(&other, packet(0x30, "<a/+>", .v3_1_1)) == .error(.topicNameInvalid, statement: "[5:MQTT-3.3.2-2]"))
    }

    @Test(
        "control characters and non-characters are malformed where that is wanted, and pass where not [5:§1.5.4] [311:§1.5.3]",
        arguments: ProtocolVersion.allCases)
    func controlCharacters(_ version: ProtocolVersion) {
        let bad: [UInt32] = [
            0x01, 0x09, 0x0A, 0x1F, 0x7F, 0x80, 0x85, 0x9F, 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1_FFFE, 0x10_FFFF,
        ]
        let good: [UInt32] = [0x20, 0x7E, 0xA0, 0xAD, 0xFDCF, 0xFDF0, 0xFEFF, 0xFFFD, 0x1_FFFD, 0x1_F422, 0x10_FFFD]
        for (value, isBad) in bad.map({ ($0, true) }) + good.map({ ($0, false) }) {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let text = MQTTString("ab" + String(Character(scalar)))
            let packets: [Packet] = [
                .publish(Publish(topic: text, payload: ByteBuffer())),
                .unsubscribe(Unsubscribe(packetID: 1, filters: TopicFilter(text.string).map { [$0] } ?? [])),
            ]
            for packet in packets {
                for (refuses, role) in [(true, PacketDecoder.Role.server), (false, .server)] {
                    var bytes = ByteBuffer()
                    #expect(PacketEncoder.write(packet, version: version, into: &bytes))
                    var decoder = PacketDecoder(
                        role: role, version: version, limits: CodecLimits(refusesControlCharacters: refuses))
                    let verdict = PacketCase.verdict(of: &decoder, &bytes)
                    if refuses && isBad {
                        let statement = version == .v5 ? "[5:§1.5.4]" : "[311:§1.5.3]"
                        #expect(verdict == .error(.malformedPacket, statement: statement), "U+\(value)")
                    } else {
                        #expect(verdict == .packet(packet), "U+\(value)")
                    }
                }
            }
        }
    }

    @Test("every limit holds at its edge")
    func limits() {
        var limits = CodecLimits()
        limits.maximumPacketSize = 20
        limits.maximumConnectSize = 15
        limits.maximumTopicLevels = 2
        limits.maximumUserProperties = 1
        limits.maximumFiltersPerPacket = 2
        limits.maximumSubscriptionIdentifiers = 1
        func check(
            _ first: UInt8, _ good: String, _ bad: String, _ reason: ReasonCode, role: PacketDecoder.Role = .server,
            version: ProtocolVersion? = .v5
        ) {
            var decoder = PacketDecoder(role: role, version: version, limits: limits)
            guard case .packet = verdict(&decoder, packet(first, good, .v5)) else {
                Issue.record("refused \(good)")
                return
            }
            decoder = PacketDecoder(role: role, version: version, limits: limits)
            guard case .error(let found, _) = verdict(&decoder, packet(first, bad, .v5)) else {
                Issue.record("accepted \(bad)")
                return
            }
            #expect(found == reason)
        }
        check(0x30, "<t> 00 x*14", "<t> 00 x*15", .packetTooLarge)
        check(0x10, "<MQTT> 04 02 0000 <c>", "<MQTT> 04 02 0000 <cd>", .packetTooLarge, version: nil)
        check(0x30, "<a/b> 00", "<a/b/c> 00", .topicNameInvalid)
        check(0x82, "0001 00 <a/b> 00", "0001 00 <a/b/c> 00", .topicFilterInvalid)
        check(0x30, "<t> [26<><>]", "<t> [26<><>26<><>]", .quotaExceeded)
        check(0x82, "0001 00 <a>00<b>00", "0001 00 <a>00<b>00<c>00", .quotaExceeded)
        check(0xA2, "0001 00 <a><b>", "0001 00 <a><b><c>", .quotaExceeded)
        check(0x90, "0001 00 0000", "0001 00 000000", .quotaExceeded, role: .client)
        check(0xB0, "0001 00 0000", "0001 00 000000", .quotaExceeded, role: .client)
        check(0x30, "<t> [0B01]", "<t> [0B010B02]", .quotaExceeded, role: .client)
    }

    @Test("a client that is not told otherwise speaks version 5")
    func clientVersion() {
        #expect(PacketDecoder(role: .client).version == .v5)
        #expect(PacketDecoder(role: .client, version: .v3_1).version == .v3_1)
        #expect(PacketDecoder(role: .server).version == nil)
    }
}

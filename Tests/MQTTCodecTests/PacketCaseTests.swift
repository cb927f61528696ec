import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("The table of packets")
struct PacketCaseTests {
    @Test("the table is as large as it should be, and nothing stands in it twice")
    func size() {
        #expect(PacketCases.all.count >= 1_000)
        var seen: Set<String> = []
        for packet in PacketCases.all {
            let key = "\(packet.version) \(packet.role) \(packet.isFirst) \(packet.bytes)"
            #expect(seen.insert(key).inserted, "twice: \(packet.testDescription)")
        }
    }

    @Test("each packet gets the verdict that the table gives it")
    func verdicts() {
        for packet in PacketCases.all {
            var decoder = packet.decoder
            var buffer = ByteBuffer(bytes: packet.bytes)
            let verdict = PacketCase.verdict(of: &decoder, &buffer)
            #expect(verdict == packet.verdict, "\(packet.testDescription)")
            if case .packet = packet.verdict {
                #expect(buffer.readableBytes == 0, "\(packet.testDescription)")
                #expect(PacketCase.verdict(of: &decoder, &buffer) == .incomplete, "\(packet.testDescription)")
            }
            if case .error = packet.verdict {
                #expect(buffer.readableBytes == packet.bytes.count, "\(packet.testDescription)")
                #expect(PacketCase.verdict(of: &decoder, &buffer) == packet.verdict, "\(packet.testDescription)")
            }
        }
    }

    @Test("the verdict is the same wherever the bytes are cut in two")
    func cutInTwo() {
        for packet in PacketCases.all where packet.bytes.count <= 300 {
            ByteCuts.inTwo(packet.bytes) { first, second in
                var decoder = packet.decoder
                var buffer = ByteBuffer(bytes: first)
                var verdict = PacketCase.verdict(of: &decoder, &buffer)
                if verdict == .incomplete {
                    buffer.writeBytes(second)
                    verdict = PacketCase.verdict(of: &decoder, &buffer)
                }
                #expect(verdict == packet.verdict, "\(packet.testDescription) cut at \(first.count)")
            }
        }
    }

    @Test("the verdict is the same when the bytes come one at a time")
    func oneByOne() {
        for packet in PacketCases.all where packet.bytes.count <= 5_000 {
            var decoder = packet.decoder
            let verdict = ByteCuts.oneByOne(packet.bytes) { buffer -> PacketCase.Verdict? in
                let verdict = PacketCase.verdict(of: &decoder, &buffer)
                return verdict == .incomplete ? nil : verdict
            }
            #expect(verdict ?? .incomplete == packet.verdict, "\(packet.testDescription)")
        }
    }

    @Test("a packet that misses its last byte is waited for, if it is not wrong before")
    func lastByteMissing() {
        for packet in PacketCases.all {
            guard case .packet = packet.verdict else { continue }
            var decoder = packet.decoder
            var buffer = ByteBuffer(bytes: packet.bytes.dropLast())
            #expect(PacketCase.verdict(of: &decoder, &buffer) == .incomplete, "\(packet.testDescription)")
            #expect(buffer.readableBytes == packet.bytes.count - 1)
        }
    }

    @Test("a packet is found behind bytes that were read before")
    func notAtTheStart() {
        for packet in PacketCases.all {
            var decoder = packet.decoder
            var buffer = ByteBuffer(bytes: [0xFF, 0xFF, 0xFF] + packet.bytes + [0xFF])
            buffer.moveReaderIndex(forwardBy: 3)
            if packet.verdict == .incomplete { continue }
            #expect(PacketCase.verdict(of: &decoder, &buffer) == packet.verdict, "\(packet.testDescription)")
        }
    }

    @Test("the encoder writes the bytes of the table, in the size that it says [5:MQTT-2.1.3-1] [311:MQTT-2.2.2-1]")
    func encoding() {
        for packet in PacketCases.all where packet.isCanonical {
            guard case .packet(let expected) = packet.verdict else { continue }
            var buffer = ByteBuffer()
            #expect(PacketEncoder.write(expected, version: packet.version, into: &buffer))
            #expect(Array(buffer.readableBytesView) == packet.bytes, "\(packet.testDescription)")
            #expect(
                PacketEncoder.size(of: expected, version: packet.version) == packet.bytes.count,
                "\(packet.testDescription)")
        }
    }

    @Test("no error tells what the packet contained")
    func errorsAreSilent() {
        var decoder = PacketDecoder(role: .server)
        var buffer = ByteBuffer(
            bytes: WireNotation.packet(
                first: 0x10, body: "<MQTT> 04 C2 0000 <c> <secret> <hunter2> 00", version: .v3_1_1))
        let error = #expect(throws: DecodeError.self) { _ = try decoder.next(from: &buffer) }
        #expect(error?.description.contains("secret") == false)
        #expect(error?.description.contains("hunter2") == false)
        #expect(error?.offset == 32)
    }
}

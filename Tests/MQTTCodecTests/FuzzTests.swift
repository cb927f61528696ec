import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Bytes that nobody meant. What must hold: no trap, a verdict for everything, errors that can be sent, and what is
/// accepted can be written and read again with the same meaning.
@Suite("Bytes that nobody meant")
struct FuzzTests {
    /// A packet, right or wrong, to begin with, and the decoder that reads it.
    private struct Specimen {
        var decoder: PacketDecoder
        var version: ProtocolVersion
        var bytes: ByteBuffer
    }

    private static func specimens() -> [Specimen] {
        var specimens: [Specimen] = []
        for packet in PacketCases.all where packet.bytes.count > 1 && packet.bytes.count <= 48 {
            specimens.append(
                Specimen(decoder: packet.decoder, version: packet.version, bytes: ByteBuffer(bytes: packet.bytes)))
        }
        for version in ProtocolVersion.allCases {
            for role in [PacketDecoder.Role.server, .client] {
                var generator = PacketGenerator(seed: 42, version: version, role: role)
                for _ in 0..<200 {
                    var bytes = ByteBuffer()
                    PacketEncoder.write(generator.packet(), version: version, into: &bytes)
                    if bytes.readableBytes > 64 { continue }
                    specimens.append(
                        Specimen(decoder: PacketDecoder(role: role, version: version), version: version, bytes: bytes))
                }
            }
        }
        return specimens
    }

    /// How often the decoder said what; a run in which one is rare proves little.
    private struct Tally {
        var accepted = 0
        var incomplete = 0
        var refused = 0
    }

    /// What is wrong with the verdict of `decoder` over `bytes`, nil when nothing is.
    private static func fault(
        _ decoder: PacketDecoder,
        _ version: ProtocolVersion,
        _ bytes: ByteBuffer,
        _ tally: inout Tally
    ) -> String? {
        var decoder = decoder
        var rest = bytes
        do throws(DecodeError) {
            guard let packet = try decoder.next(from: &rest) else {
                tally.incomplete += 1
                return nil
            }
            tally.accepted += 1
            // CONNECT decides for itself which version it is of.
            let version = decoder.version ?? version
            var written = ByteBuffer()
            guard PacketEncoder.write(packet, version: version, into: &written) else { return "not written" }
            if PacketEncoder.size(of: packet, version: version) != written.readableBytes { return "wrong size" }
            if written.readableBytes > bytes.readableBytes - rest.readableBytes { return "grew" }
            var again = PacketDecoder(role: decoder.role, version: packet.type == .connect ? nil : version)
            do throws(DecodeError) {
                let decoded = try again.next(from: &written)
                return decoded == packet ? nil : "changed by a round trip"
            } catch {
                return "our own packet is refused: \(error)"
            }
        } catch {
            tally.refused += 1
            if !error.reason.isFailure { return "error without a failing reason" }
            if error.offset < 0 || error.offset > bytes.readableBytes { return "offset \(error.offset) is outside" }
            return nil
        }
    }

    @Test("a million mutated packets get a verdict, and what is accepted survives a round trip")
    func mutations() {
        var random = SeededGenerator(seed: 2_026)
        var specimens = Self.specimens()
        var tally = Tally()
        for round in 0..<1_000_000 {
            let index = random.below(specimens.count)
            let bits = random.next()
            let size = specimens[index].bytes.readableBytes
            let position = Int(bits & 0xFFFF) % size
            let position2 = bits & 1 << 63 == 0 ? position : Int(bits >> 16 & 0xFFFF) % size
            let old = specimens[index].bytes.getInteger(at: position, as: UInt8.self) ?? 0
            let old2 = specimens[index].bytes.getInteger(at: position2, as: UInt8.self) ?? 0
            // One byte is anything; sometimes another one is off by one, which is what lengths are wrong by.
            specimens[index].bytes.setInteger(old2 &+ 1, at: position2)
            specimens[index].bytes.setInteger(UInt8(truncatingIfNeeded: bits >> 32), at: position)
            let specimen = specimens[index]
            let acceptedBefore = tally.accepted
            if let fault = Self.fault(specimen.decoder, specimen.version, specimen.bytes, &tally) {
                Issue.record("round \(round): \(fault): \(Array(specimen.bytes.readableBytesView))")
                return
            }
            // Most mutations are taken back; some that were accepted stay, so that packets wander off.
            if tally.accepted == acceptedBefore || bits >> 40 & 7 != 0 {
                specimens[index].bytes.setInteger(old2, at: position2)
                specimens[index].bytes.setInteger(old, at: position)
            }
        }
        print("fuzz: \(tally)")
        #expect(tally.accepted > 100_000)
        #expect(tally.incomplete > 10_000)
        #expect(tally.refused > 100_000)
    }

    @Test("a hundred thousand packets of random bytes behind a fitting header get a verdict")
    func noise() {
        var random = SeededGenerator(seed: 311)
        var bytes = ByteBuffer()
        var tally = Tally()
        for _ in 0..<100_000 {
            let version = ProtocolVersion.allCases[random.below(3)]
            let role: PacketDecoder.Role = random.oneIn(2) ? .server : .client
            let first = random.oneIn(4)
            let type = UInt8(first ? 1 : random.below(16))
            let flags = PacketType(rawValue: type)?.reservedFlags ?? 0
            bytes.clear()
            bytes.writeInteger(type << 4 | (type == 3 ? UInt8(random.below(16)) : flags))
            let size = random.below(24)
            bytes.writeInteger(UInt8(size))
            for _ in 0..<size { bytes.writeInteger(UInt8(random.oneIn(2) ? random.below(8) : random.below(256))) }
            let decoder = first ? PacketDecoder(role: .server) : PacketDecoder(role: role, version: version)
            if let fault = Self.fault(decoder, version, bytes, &tally) {
                Issue.record("\(fault): \(Array(bytes.readableBytesView))")
                return
            }
        }
    }

    @Test(
        "a PUBLISH to the topic of the one before is judged as one to another topic is, whatever was done to its bytes",
        arguments: ProtocolVersion.allCases)
    func knownTopic(_ version: ProtocolVersion) throws {
        var random = SeededGenerator(seed: 3_311)
        let primed = try ["a/b", "a/c"].map { (topic: MQTTString) throws(DecodeError) in
            var decoder = PacketDecoder(role: .server, version: version, limits: CodecLimits(maximumPacketSize: 300))
            var bytes = ByteBuffer()
            PacketEncoder.write(.publish(Publish(topic: topic, payload: ByteBuffer())), version: version, into: &bytes)
            _ = try decoder.next(from: &bytes)
            return decoder
        }
        var tally = Tally()
        for _ in 0..<20_000 {
            let qos = QoS(rawValue: UInt8(random.below(3))) ?? .atMostOnce
            let payload = ByteBuffer(repeating: 0x2F, count: random.oneIn(4) ? random.below(320) : random.below(8))
            var publish = Publish(topic: "a/b", payload: payload, qos: qos, isRetained: random.oneIn(2))
            if qos > .atMostOnce { publish.packetID = UInt16(random.below(3)) }
            var bytes = ByteBuffer()
            PacketEncoder.write(.publish(publish), version: version, into: &bytes)
            let changes = random.below(3)
            for _ in 0..<changes {
                // Mostly where the headers are.
                let index = random.below(random.oneIn(4) ? bytes.readableBytes : min(10, bytes.readableBytes))
                let value = random.oneIn(2) ? random.below(256) : random.below(4)
                bytes.setInteger(UInt8(value), at: index)
            }
            if random.oneIn(4) { bytes = bytes.getSlice(at: 0, length: random.below(bytes.readableBytes)) ?? bytes }
            if random.oneIn(4) { bytes.writeInteger(UInt8(0xC0)) }
            var verdicts: [(PacketCase.Verdict, Int)] = []
            for var decoder in primed {
                var rest = bytes
                verdicts.append((PacketCase.verdict(of: &decoder, &rest), rest.readableBytes))
            }
            #expect(verdicts[0] == verdicts[1], "\(bytes.readableBytesView.map { $0 })")
            switch verdicts[0].0 {
            case .packet: tally.accepted += 1
            case .incomplete: tally.incomplete += 1
            case .error: tally.refused += 1
            }
        }
        #expect(tally.accepted > 1_000 && tally.incomplete > 1_000 && tally.refused > 1_000, "\(tally)")
    }
}

import BrokerServer
import NIOCore
import Testing

@Suite("Compressed WebSocket messages")
struct DeflateTests {
    @Test(
        "the first offer that can be met is taken [RFC 7692]",
        arguments: [
            ("permessage-deflate", 15), ("permessage-deflate; client_max_window_bits", 15),
            ("PERMESSAGE-DEFLATE ; client_max_window_bits=\"10\"; server_no_context_takeover", 15),
            ("permessage-deflate; server_max_window_bits=10", 10), ("x-webkit-deflate-frame, permessage-deflate", 15),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9", 9),
            ("permessage-deflate; whatever, permessage-deflate", 15),
        ]
    )
    func agreed(_ field: String, _ bits: Int) throws {
        let agreement = try #require(DeflateAgreement([field]))
        #expect(agreement.windowBits == bits)
        #expect(agreement.field.hasPrefix("permessage-deflate; server_no_context_takeover; client_no_context_takeover"))
        #expect(agreement.field.contains("server_max_window_bits=\(bits)") == field.contains("server_max_window_bits"))
    }

    @Test(
        "what cannot be met, or is not understood, is no offer",
        arguments: [
            "", "deflate", "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08", "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; x=1", "permessage-deflate;",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
        ]
    )
    func refused(_ field: String) {
        #expect(DeflateAgreement([field]) == nil)
    }

    private static func packed(_ payload: [UInt8], bits: Int = 15) throws -> [UInt8] {
        let deflater = try #require(Deflater(windowBits: bits))
        return Array(try #require(deflater.deflate(ByteBuffer(bytes: payload))).readableBytesView)
    }

    /// A frame of a client with RSV1.
    private static func frame(_ payload: [UInt8], opcode: UInt8 = 2, isFinal: Bool = true) -> [UInt8] {
        var bytes = ClientFrame.make(payload, opcode: opcode, isFinal: isFinal)
        bytes[0] |= 0x40
        return bytes
    }

    private struct Outcome: Equatable {
        var plain: [UInt8] = []
        var error: WebSocketError?
        /// Calls that it took.
        var calls = 0
    }

    private static func feed(_ bytes: [UInt8], inPieces size: Int = .max, inflatedBytesMax: Int = 1 << 20) -> Outcome {
        var framing = WebSocketFraming(inflatedBytesMax: inflatedBytesMax)
        var outcome = Outcome()
        var rest = bytes[...]
        while !rest.isEmpty {
            var input = ByteBuffer(bytes: rest.prefix(size))
            rest = rest.dropFirst(size)
            while input.readableBytes > 0 {
                var (plain, replies) = (ByteBuffer(), ByteBuffer())
                outcome.calls += 1
                do throws(WebSocketError) {
                    try framing.receive(&input, into: &plain, replies: &replies)
                } catch {
                    outcome.error = error
                }
                outcome.plain += plain.readableBytesView
                #expect(plain.readableBytes <= 2 * inflatedBytesMax)
                if outcome.error != nil { return outcome }
            }
        }
        return outcome
    }

    private static let text = (0..<3_000).map { UInt8(truncatingIfNeeded: $0 % 61 &+ $0 / 97) }

    @Test("a message comes out as it went in, cut anywhere, whatever the window", arguments: [9, 12, 15])
    func roundTrip(_ bits: Int) throws {
        let packed = try Self.packed(Self.text, bits: bits)
        #expect(packed.count < Self.text.count / 2)
        let bytes = Self.frame(packed) + ClientFrame.make([1, 2, 3]) + Self.frame(packed)
        for size in [1, 2, 7, 100, .max] {
            let outcome = Self.feed(bytes, inPieces: size)
            #expect(outcome.error == nil && outcome.plain == Self.text + [1, 2, 3] + Self.text, "pieces of \(size)")
        }
    }

    @Test("a compressed message in fragments, a ping between them")
    func fragments() throws {
        let packed = try Self.packed(Self.text)
        let bytes =
            Self.frame(Array(packed.prefix(10)), isFinal: false) + ClientFrame.make([9], opcode: 9)
            + ClientFrame.make([], opcode: 0, isFinal: false) + ClientFrame.make(Array(packed.dropFirst(10)), opcode: 0)
        #expect(Self.feed(bytes, inPieces: 3).plain == Self.text)
    }

    @Test("blocks of other compressors: stored, empty, and one that says it is the last")
    func blocks() {
        // RFC 7692 §7.2.3.1 to §7.2.3.5: "Hello".
        let hello = Array("Hello".utf8)
        for packed: [UInt8] in [
            [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00],
            [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00],
            [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00],
            [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00],
        ] {
            let outcome = Self.feed(Self.frame(packed))
            #expect(outcome.error == nil && outcome.plain == hello, "\(packed)")
        }
        #expect(Self.feed(Self.frame([0x00])).plain.isEmpty)
    }

    @Test("a bomb ends the connection before it is unpacked, at the limit a message passes")
    func bomb() throws {
        let zeros = [UInt8](repeating: 0, count: 4 << 20)
        let packed = try Self.packed(zeros)
        #expect(packed.count < 20_000)
        let outcome = Self.feed(Self.frame(packed), inflatedBytesMax: 1 << 20)
        #expect(outcome.error == .inflatedTooLarge && outcome.plain.count <= (1 << 20) + (16 << 10))
        #expect(WebSocketError.inflatedTooLarge.closeCode == 1009)
        #expect(Self.feed(Self.frame(packed), inflatedBytesMax: 4 << 20).plain.count == 4 << 20)
        #expect(Self.feed(Self.frame(packed), inflatedBytesMax: (4 << 20) - 1).error == .inflatedTooLarge)
        // In fragments it is one message still.
        let cut =
            Self.frame(Array(packed.prefix(2_000)), isFinal: false)
            + ClientFrame.make(Array(packed.dropFirst(2_000)), opcode: 0)
        #expect(Self.feed(cut, inflatedBytesMax: 1 << 20).error == .inflatedTooLarge)
    }

    @Test("many small bombs in one read are unpacked one after the other, as what they hold is dealt with")
    func manyBombs() throws {
        let packed = try Self.packed([UInt8](repeating: 0, count: 60_000))
        let outcome = Self.feed(
            Array(repeating: Self.frame(packed), count: 100).flatMap(\.self), inflatedBytesMax: 65_536)
        #expect(outcome.error == nil && outcome.plain.count == 6_000_000)
        #expect(outcome.calls >= 50)
    }

    @Test("what is not compressed is not taken for it")
    func malformed() {
        #expect(Self.feed(Self.frame([0x07, 0xFF, 0xFF])).error == .malformedDeflate)
        #expect(Self.feed(Self.frame([0xFF, 0xFF, 0xFF, 0xFF, 0x12])).error == .malformedDeflate)
        #expect(WebSocketError.malformedDeflate.closeCode == 1007)
    }

    @Test("RSV1 stands on the first frame of a message and nowhere else")
    func reservedBit() {
        #expect(Self.feed(Self.frame([], opcode: 9)).error == .reservedBits)
        #expect(Self.feed(Self.frame([], opcode: 8)).error == .reservedBits)
        #expect(Self.feed(ClientFrame.make([1], isFinal: false) + Self.frame([], opcode: 0)).error == .reservedBits)
        #expect(Self.feed(Self.frame([], opcode: 1)).error == .textFrame)
        var second = Self.frame([])
        second[0] |= 0x20
        #expect(Self.feed(second).error == .reservedBits)
    }

    @Test("random and mutated messages never trap, and never grow beyond the bound")
    func random() throws {
        var generator = SystemRandomNumberGenerator()
        let packed = try Self.packed(Self.text)
        for _ in 0..<2_000 {
            var bytes = packed
            for _ in 0..<Int.random(in: 1...5, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            _ = Self.feed(Self.frame(bytes), inflatedBytesMax: 4_000)
        }
    }

    @Test("what would not become shorter is sent as it is")
    func incompressible() throws {
        let deflater = try #require(Deflater(windowBits: 15))
        #expect(deflater.deflate(ByteBuffer(repeating: 0, count: 63)) == nil)
        let noise = (0..<500).map { _ in UInt8.random(in: 0...255) }
        #expect(deflater.deflate(ByteBuffer(bytes: noise)) == nil)
        let packed = try #require(deflater.deflate(ByteBuffer(repeating: 0, count: 500)))
        #expect(packed.readableBytes < 20)
        // Nothing of it is left in the window for the next.
        #expect(deflater.deflate(ByteBuffer(repeating: 0, count: 500)) == packed)
    }

    @Test("a listener that compresses says so to clients that offer it, and only to them")
    func upgrade() async throws {
        for (deflates, offer, answer) in [
            (true, "permessage-deflate; client_max_window_bits", true), (true, "", false),
            (false, "permessage-deflate", false), (true, "bogus", false),
        ] {
            try await WebRig.run({ $0.deflates = deflates }) { rig in
                let client = try await rig.connect()
                let field = offer.isEmpty ? "13" : "13\r\nSec-WebSocket-Extensions: \(offer)"
                try await client.send(WebUpgradeTests.request("GET /mqtt HTTP/1.1", ["Sec-WebSocket-Version": field]))
                let reply = try await client.answer()
                #expect(reply.status == 101)
                #expect((reply.fields["sec-websocket-extensions"] != nil) == answer)
                try await client.close()
            }
        }
    }
}

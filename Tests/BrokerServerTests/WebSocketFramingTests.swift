import BrokerServer
import NIOCore
import TestSupport
import Testing

@Suite("WebSocket framing")
struct WebSocketFramingTests {
    struct Outcome: Equatable {
        var plain: [UInt8] = []
        var replies: [UInt8] = []
        var error: WebSocketError?
        var isClosed = false
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var input: [UInt8]
        var plain: [UInt8] = []
        var replies: [UInt8] = []
        var error: WebSocketError?
        var isClosed = false

        var testDescription: String { name }
    }

    /// Feeds pieces, in reads of their own.
    static func feed(_ pieces: [ArraySlice<UInt8>], limits: WebSocketLimits = WebSocketLimits()) -> Outcome {
        var framing = WebSocketFraming(limits: limits)
        var outcome = Outcome()
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        for piece in pieces {
            var input = ByteBuffer(bytes: piece)
            do {
                try framing.receive(&input, into: &plain, replies: &replies)
                #expect(input.readableBytes == 0)
            } catch {
                outcome.error = error
                break
            }
        }
        outcome.plain = Array(plain.readableBytesView)
        outcome.replies = Array(replies.readableBytesView)
        outcome.isClosed = framing.isClosed
        return outcome
    }

    static let long = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    static let cases: [Case] = [
        Case(name: "an empty frame", input: ClientFrame.make([])),
        Case(name: "one byte", input: ClientFrame.make([7]), plain: [7]),
        Case(name: "125 bytes", input: ClientFrame.make(Array(long.prefix(125))), plain: Array(long.prefix(125))),
        Case(name: "126 bytes", input: ClientFrame.make(Array(long.prefix(126))), plain: Array(long.prefix(126))),
        Case(
            name: "65,536 bytes",
            input: ClientFrame.make(Array(long.prefix(65_536))),
            plain: Array(long.prefix(65_536))
        ),
        Case(
            name: "several frames in one read [5:MQTT-6.0.0-2] [311:MQTT-6.0.0-2]",
            input: ClientFrame.make([1, 2, 3]) + ClientFrame.make([4]) + ClientFrame.make([5, 6]),
            plain: [1, 2, 3, 4, 5, 6]
        ),
        Case(
            name: "a message in fragments with a ping between them",
            input: ClientFrame.make([1], isFinal: false) + ClientFrame.make([9, 8], opcode: 0x9)
                + ClientFrame.make([2], opcode: 0, isFinal: false) + ClientFrame.make([3], opcode: 0),
            plain: [1, 2, 3],
            replies: [0x8A, 2, 9, 8]
        ),
        Case(name: "an empty ping", input: ClientFrame.make([], opcode: 0x9), replies: [0x8A, 0]),
        Case(name: "a pong is silence", input: ClientFrame.make([1, 2], opcode: 0xA)),
        Case(
            name: "a close is answered and ends it",
            input: ClientFrame.make([0x03, 0xE8], opcode: 0x8) + ClientFrame.make([1]),
            replies: [0x88, 2, 0x03, 0xE8],
            isClosed: true
        ),
        Case(
            name: "a close without code", input: ClientFrame.make([], opcode: 0x8), replies: [0x88, 0], isClosed: true),
        Case(
            name: "a close with a reason",
            input: ClientFrame.make([0x0F, 0xA0] + Array("tschüß".utf8), opcode: 0x8),
            replies: [0x88, 2, 0x0F, 0xA0],
            isClosed: true
        ),
        Case(name: "a close of one byte", input: ClientFrame.make([3], opcode: 0x8), error: .malformedClose),
        Case(name: "close code 1005", input: ClientFrame.make([0x03, 0xED], opcode: 0x8), error: .malformedClose),
        Case(name: "close code 999", input: ClientFrame.make([0x03, 0xE7], opcode: 0x8), error: .malformedClose),
        Case(
            name: "a close whose reason is not UTF-8",
            input: ClientFrame.make([0x03, 0xE8, 0xFF], opcode: 0x8),
            error: .malformedCloseReason
        ),
        Case(
            name: "a text frame after data [5:MQTT-6.0.0-1] [311:MQTT-6.0.0-1]",
            input: ClientFrame.make([1, 2]) + ClientFrame.make([0x41], opcode: 0x1),
            plain: [1, 2],
            error: .textFrame
        ),
        Case(name: "an unmasked frame", input: [0x82, 0x01, 0x00], error: .unmaskedFrame),
        Case(name: "RSV1", input: [0xC2, 0x80], error: .reservedBits),
        Case(name: "RSV2", input: [0xA2, 0x80], error: .reservedBits),
        Case(name: "RSV3", input: [0x92, 0x80], error: .reservedBits),
        Case(name: "opcode 3", input: [0x83, 0x80], error: .reservedOpcode),
        Case(name: "opcode 11", input: [0x8B, 0x80], error: .reservedOpcode),
        Case(name: "a fragmented ping", input: [0x09, 0x80], error: .fragmentedControlFrame),
        Case(name: "a ping of 126 bytes", input: [0x89, 0xFE, 0, 126], error: .oversizedControlFrame),
        Case(name: "a ping with a 64-bit length", input: [0x89, 0xFF], error: .oversizedControlFrame),
        Case(name: "a continuation of nothing", input: [0x80, 0x80], error: .continuationWithoutStart),
        Case(
            name: "a new message inside another",
            input: ClientFrame.make([1], isFinal: false) + [0x82, 0x80],
            plain: [1],
            error: .unfinishedMessage
        ),
        Case(
            name: "a length with the top bit set",
            input: [0x82, 0xFF] + Array(repeating: 0xFF, count: 8),
            error: .malformedLength
        ),
        Case(
            name: "only the top bit set",
            input: [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0],
            error: .malformedLength
        ),
        Case(
            name: "the largest length there is",
            input: [0x82, 0xFF, 0x7F] + Array(repeating: 0xFF, count: 7),
            error: .frameTooLarge
        ),
        Case(name: "a short length in 16 bits", input: [0x82, 0xFE, 0, 125], error: .malformedLength),
        Case(name: "a short length in 64 bits", input: [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 1, 0], error: .malformedLength),
    ]

    @Test("frames and verdicts, also when cut at every byte", arguments: cases)
    func table(_ test: Case) {
        let expected = Outcome(
            plain: test.plain,
            replies: test.replies,
            error: test.error,
            isClosed: test.isClosed || test.error != nil
        )
        #expect(Self.feed([test.input[...]]) == expected)
        #expect(Self.feed(test.input.indices.map { test.input[$0...$0] }) == expected)
        for cut in test.input.indices.prefix(300) {
            #expect(Self.feed([test.input[..<cut], test.input[cut...]]) == expected)
        }
    }

    @Test("each error has its close code of RFC 6455")
    func closeCodes() {
        #expect(WebSocketError.textFrame.closeCode == 1003)
        #expect(WebSocketError.frameTooLarge.closeCode == 1009)
        #expect(WebSocketError.malformedCloseReason.closeCode == 1007)
        #expect(WebSocketError.unmaskedFrame.closeCode == 1002)
        #expect(WebSocketError.malformedLength.closeCode == 1002)
    }

    @Test("a frame at the limit passes and one byte more does not")
    func limit() {
        let limits = WebSocketLimits(frameBytesMax: 200)
        let data = Array(Self.long.prefix(200))
        #expect(Self.feed([ClientFrame.make(data)[...]], limits: limits).plain == data)
        #expect(Self.feed([ClientFrame.make(data + [0])[...]], limits: limits).error == .frameTooLarge)
    }

    @Test("payload passes on before its frame is complete")
    func streams() {
        let frame = ClientFrame.make(Self.long)
        let outcome = Self.feed([frame.prefix(10_000)])
        #expect(outcome.plain == Array(Self.long.prefix(10_000 - 14)))
    }

    @Test("nothing is taken after an error")
    func afterError() throws {
        var framing = WebSocketFraming()
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        var input = ByteBuffer(bytes: [0x81, 0x80])
        #expect(throws: WebSocketError.textFrame) {
            try framing.receive(&input, into: &plain, replies: &replies)
        }
        input = ByteBuffer(bytes: ClientFrame.make([1]))
        try framing.receive(&input, into: &plain, replies: &replies)
        #expect(plain.readableBytes == 0 && replies.readableBytes == 0 && input.readableBytes == 0)
    }

    @Test("headers to the client have the shortest length", arguments: [0, 1, 125, 126, 65_535, 65_536])
    func headers(_ count: Int) {
        var buffer = ByteBuffer()
        WebSocketFraming.writeHeader(payloadBytes: count, into: &buffer)
        // The masked frame of a client, without mask bit and key.
        var expected = ClientFrame.make(Array(repeating: 0, count: count)).dropLast(count + 4)
        expected[1] &= 0x7F
        #expect(Array(buffer.readableBytesView) == Array(expected))
    }

    @Test("a close frame carries its code")
    func close() {
        var buffer = ByteBuffer()
        WebSocketFraming.writeClose(code: 1009, into: &buffer)
        #expect(Array(buffer.readableBytesView) == [0x88, 2, 0x03, 0xF1])
    }

    @Test("any cutting of any masks and lengths gives the same payload")
    func randomCuts() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<300 {
            var stream: [UInt8] = []
            var payload: [UInt8] = []
            for _ in 0..<random.below(6) {
                let data = (0..<random.below(400)).map { _ in random.byte() }
                payload += data
                stream += ClientFrame.make(data, mask: (0..<4).map { _ in random.byte() })
            }
            var pieces: [ArraySlice<UInt8>] = []
            var rest = stream[...]
            while !rest.isEmpty {
                let count = min(rest.count, 1 + random.below(60))
                pieces.append(rest.prefix(count))
                rest = rest.dropFirst(count)
            }
            let outcome = Self.feed(pieces)
            #expect(outcome.plain == payload && outcome.error == nil)
        }
    }

    @Test("a server sends each packet in a frame of its own, and what is no whole packet in one frame")
    func framesOfPackets() {
        let ping: [UInt8] = [0xD0, 0]
        let publish = [0x30, 0xC8, 0x01] + [UInt8](repeating: 7, count: 200)
        let cut: [UInt8] = [0x30, 0xFF, 0xFF]
        let frames = WebSocketFraming.frames(ofPackets: ByteBuffer(bytes: ping + publish + ping + cut))
        let expected = [0x82, 2] + ping + [0x82, 126, 0, 203] + publish + [0x82, 2] + ping + [0x82, 3] + cut
        #expect(Array(frames.readableBytesView) == expected)
        #expect(WebSocketFraming.firstPacketBytes(ByteBuffer(bytes: publish)) == publish.count)
        #expect(WebSocketFraming.firstPacketBytes(ByteBuffer(bytes: [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1])) == 6)
    }

    @Test(
        "packets of every size class get the header of that size",
        arguments: [125, 126, 65_535, 65_536, 70_000])
    func headersOfPackets(size: Int) throws {
        // Less its first byte and the one to three bytes that say how long it is.
        let body = size - (size < 130 ? 2 : 4)
        var length = body
        var packet: [UInt8] = [0x30]
        repeat {
            packet.append(UInt8(length & 0x7F) | (length > 0x7F ? 0x80 : 0))
            length >>= 7
        } while length > 0
        packet += [UInt8](repeating: 7, count: size - packet.count)
        let packets = ByteBuffer(bytes: packet + [0xD0, 0])
        try #require(WebSocketFraming.firstPacketBytes(packets) == size)
        var header = ByteBuffer()
        WebSocketFraming.writeHeader(payloadBytes: size, into: &header)
        let frames = WebSocketFraming.frames(ofPackets: packets)
        #expect(Array(frames.readableBytesView) == Array(header.readableBytesView) + packet + [0x82, 2, 0xD0, 0])
    }

    @Test("random and mutated bytes never trap")
    func fuzz() {
        var random = SeededGenerator(seed: 42)
        let seeds = Self.cases.map(\.input).filter { $0.count < 1000 }
        for _ in 0..<50_000 {
            var bytes = seeds[random.below(seeds.count)] + seeds[random.below(seeds.count)]
            for _ in 0..<random.below(4) {
                bytes[random.below(bytes.count)] = random.byte()
            }
            let cut = random.below(bytes.count)
            let outcome = Self.feed([bytes[..<cut], bytes[cut...]])
            #expect(outcome.plain.count <= bytes.count && outcome.replies.count <= bytes.count)
        }
    }
}

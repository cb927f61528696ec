import BrokerServer
import NIOCore
import Testing

@Suite("The client's side of a WebSocket")
struct WebSocketClientTests {
    private static let sizes = [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 100_001]

    @Test("what a client frames a server reads, whatever its length", arguments: sizes)
    func masked(count: Int) throws {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var frame = WebSocketFraming.maskedFrame(ByteBuffer(bytes: payload))
        #expect(frame.getInteger(at: frame.readerIndex + 1, as: UInt8.self).map { $0 & 0x80 } == 0x80)
        var server = WebSocketFraming()
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        try server.receive(&frame, into: &plain, replies: &replies)
        #expect(Array(plain.readableBytesView) == payload)
        #expect(replies.readableBytes == 0)
    }

    @Test("no two frames have the same key")
    func keys() {
        let payload = ByteBuffer(repeating: 0, count: 64)
        #expect(WebSocketFraming.maskedFrame(payload) != WebSocketFraming.maskedFrame(payload))
    }

    @Test("packets that leave together have a frame and a key each, and arrive as they were")
    func framePerPacket() throws {
        var generator = SystemRandomNumberGenerator()
        let packets: [[UInt8]] = [[0xC0, 0], [0x30, 5, 0, 1, 97, 98, 99], [0x30, 3, 0, 1] + [97], [0xC0, 0]]
        var all = ByteBuffer(bytes: packets.joined())
        var frames = WebSocketFraming.maskedFrames(ofPackets: &all, keys: &generator)
        #expect(all.readableBytes == 0)
        #expect(frames.readableBytes == packets.reduce(0) { $0 + 6 + $1.count })
        var offset = 0
        for packet in packets {
            #expect(frames.getBytes(at: offset, length: 2) == [0x82, 0x80 | UInt8(packet.count)])
            offset += 6 + packet.count
        }
        var server = WebSocketFraming()
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        try server.receive(&frames, into: &plain, replies: &replies)
        #expect(Array(plain.readableBytesView) == Array(packets.joined()))
    }

    @Test("what a server frames a client reads, cut anywhere", arguments: sizes)
    func unmasked(count: Int) throws {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var wire = ByteBuffer()
        for _ in 0..<2 {
            WebSocketFraming.writeHeader(payloadBytes: count, into: &wire)
            wire.writeBytes(payload)
        }
        var client = WebSocketFraming(isClient: true)
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        let cut = max(1, wire.readableBytes / 7)
        while var part = wire.readSlice(length: min(cut, wire.readableBytes)), part.readableBytes > 0 {
            try client.receive(&part, into: &plain, replies: &replies)
        }
        #expect(Array(plain.readableBytesView) == payload + payload)
    }

    @Test("a ping is answered under a mask, and so is a farewell, both without payload too")
    func control() throws {
        var client = WebSocketFraming(isClient: true)
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        var input = ByteBuffer(bytes: [0x89, 0, 0x89, 2, 0x68, 0x69, 0x88, 0])
        try client.receive(&input, into: &plain, replies: &replies)
        #expect(client.isClosed)
        // Three frames with masks, which a server takes without complaint; the pongs and then the farewell.
        #expect(replies.readableBytes == 6 + 8 + 6)
        #expect(replies.getInteger(at: 0, as: UInt8.self) == 0x8A)
        #expect(replies.getInteger(at: 6, as: UInt8.self) == 0x8A)
        #expect(replies.getInteger(at: 14, as: UInt8.self) == 0x88)
        var server = WebSocketFraming()
        var none = ByteBuffer()
        try server.receive(&replies, into: &plain, replies: &none)
        #expect(server.isClosed && plain.readableBytes == 0)
    }

    @Test("a server that masks is no server")
    func maskedByServer() {
        var client = WebSocketFraming(isClient: true)
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        var input = WebSocketFraming.maskedFrame(ByteBuffer(string: "x"))
        #expect(throws: WebSocketError.maskedFrame) {
            try client.receive(&input, into: &plain, replies: &replies)
        }
        #expect(WebSocketError.maskedFrame.closeCode == 1002)
    }

    // MARK: Opening

    /// The example of RFC 6455 §1.3.
    private static let key = WebSocketOpening.Key(text: "dGhlIHNhbXBsZSBub25jZQ==")
    private static let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    private static let good = [
        "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", accept,
        "Sec-WebSocket-Protocol: mqtt",
    ]

    private func judge(_ lines: [String], rest: String = "") throws -> (isAccepted: Bool, left: String) {
        let opening = WebSocketOpening(address: LinkAddress(.ws, host: "hub"), key: Self.key)
        var bytes = ByteBuffer(string: lines.joined(separator: "\r\n") + "\r\n\r\n" + rest)
        let isAccepted = try opening.isAccepted(by: &bytes)
        return (isAccepted, String(buffer: bytes))
    }

    @Test("the request asks for MQTT at the path of the address, and names the port where it is not the usual one")
    func request() {
        let opening = WebSocketOpening(
            address: LinkAddress(.wss, host: "::1", port: 8084, path: "/a?b"), key: Self.key)
        #expect(
            opening.request
                == "GET /a?b HTTP/1.1\r\nHost: [::1]:8084\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                + "Sec-WebSocket-Protocol: mqtt\r\n\r\n")
        let usual = WebSocketOpening(address: LinkAddress(.ws, host: "hub"), key: Self.key)
        #expect(usual.request.contains("GET /mqtt HTTP/1.1\r\nHost: hub\r\n"))
    }

    @Test("the answer that belongs to it opens, and what follows are frames")
    func accepted() throws {
        let answer = try judge(Self.good, rest: "frames")
        #expect(answer == (true, "frames"))
        let shouting = Self.good.map { $0.hasPrefix("Sec") ? $0 : $0.replacing("websocket", with: "WebSocket") }
        #expect(try judge(shouting).isAccepted)
    }

    @Test("half an answer is waited for, and one without end is not")
    func incomplete() throws {
        let opening = WebSocketOpening(address: LinkAddress(.ws, host: "hub"), key: Self.key)
        var bytes = ByteBuffer(string: "HTTP/1.1 101 Switching")
        #expect(try !opening.isAccepted(by: &bytes))
        #expect(bytes.readableBytes > 0)
        bytes.writeRepeatingByte(0x20, count: 20_000)
        #expect(throws: OpeningRefusal.self) { try opening.isAccepted(by: &bytes) }
    }

    @Test("any other answer opens nothing, and says what it is")
    func refused() throws {
        func reason(_ lines: [String]) -> String? {
            do {
                _ = try judge(lines)
                return nil
            } catch let error as OpeningRefusal {
                return error.reason
            } catch {
                return nil
            }
        }
        func without(_ index: Int, _ line: String? = nil) -> [String] {
            var lines = Self.good
            lines.remove(at: index)
            if let line { lines.append(line) }
            return lines
        }
        #expect(reason(["HTTP/1.1 404 Not Found"]) == "the WebSocket upgrade at /mqtt is answered with 404 Not Found")
        #expect(reason(["\u{10}MQTT"]) == "the other side does not speak HTTP/1.1 here")
        for lines in [without(1), without(2), without(3), without(3, "Sec-WebSocket-Accept: x")] {
            #expect(reason(lines)?.hasPrefix("the answer to the WebSocket upgrade is not for us") == true)
        }
        for lines in [without(4), without(4, "Sec-WebSocket-Protocol: chat")] {
            #expect(reason(lines)?.hasPrefix("the WebSocket at /mqtt is not one for MQTT") == true)
        }
        #expect(reason(Self.good + ["Sec-WebSocket-Extensions: permessage-deflate"])?.contains("extensions") == true)
    }
}

import BrokerCore
import BrokerServer
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import TestSupport
import Testing

@Suite("HTTP connections")
struct HTTPConnectionTests {
    static let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    static func post(_ topic: String, _ body: String = "x") -> String {
        "POST /v1/publish/\(topic) HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test("health is told in JSON")
    func healthz() async throws {
        try await WebRig.run { rig in
            let answer = try await rig.answer(to: Self.health)
            #expect(answer.status == 200)
            #expect(
                answer.body == """
                    {"status":"ok","spool":{"status":"ok"},"connections":3,"links":[{"name":"hub","state":"live","since":0,"queued":7,"queued_bytes":0}]}

                    """
            )
            let sick = HealthRoute.answer(NodeHealth(connections: 0, links: [], spoolTrouble: "the disk is full"))
            #expect(sick.status == .serviceUnavailable)
            #expect(
                String(buffer: sick.body) == """
                    {"status":"sick","spool":{"status":"sick","reason":"the disk is full"},"connections":0,"links":[]}

                    """
            )
            let post = try await rig.answer(to: "POST /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(post.status == 405 && post.fields["allow"] == "GET, HEAD")
            let rebound = try await rig.answer(to: "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            #expect(rebound.status == 403)
            let foreign = Self.health.replacing("\r\n\r\n", with: "\r\nOrigin: http://evil.example\r\n\r\n")
            try await rig.expect(403) { try await rig.answer(to: foreign) }
            // Nothing is kept of strangers.
            let large = Self.health.replacing("\r\n\r\n", with: "\r\nContent-Length: 1000000\r\n\r\n")
            try await rig.expect(400) { try await rig.answer(to: large) }
        }
    }

    @Test("pages carry their guards, and an unchanged one is not sent again")
    func pages() async throws {
        try await WebRig.run { rig in
            let page = try await rig.answer(to: "GET /?v=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(page.status == 200)
            #expect(page.body == "<p>chat")
            #expect(page.fields["content-type"] == "text/html; charset=utf-8")
            #expect(page.fields["etag"] == "\"1a\"")
            #expect(page.fields["cache-control"] == "no-cache")
            #expect(page.fields["x-content-type-options"] == "nosniff")
            #expect(page.fields["referrer-policy"] == "no-referrer")
            #expect(page.fields["content-security-policy"]?.contains("frame-ancestors 'none'") == true)

            let client = try await rig.connect()
            for tag in ["\"1a\"", "\"0\", W/\"1a\"", "*"] {
                try await client.send("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \(tag)\r\n\r\n")
                let unchanged = try await client.answer()
                #expect(unchanged.status == 304 && unchanged.body.isEmpty)
            }
            try await client.send("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \"1\"\r\n\r\n")
            #expect(try await client.answer().status == 200)
            try await client.send("HEAD /mqtt.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let head = try await client.answer(isHead: true)
            #expect(head.status == 200 && head.fields["content-length"] == "9")
            try await client.send(Self.health)
            #expect(try await client.answer().status == 200)
            try await client.close()

            try await rig.expect(405) { try await rig.answer(to: "PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n") }
        }
        try await WebRig.run({ $0.servesPages = false }) { rig in
            try await rig.expect(404) { try await rig.answer(to: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") }
        }
    }

    @Test(
        "what is not there is 404",
        arguments: ["/x", "/v1", "/v1/publish", "/..", "/%2e%2e/etc/passwd", "//", "/mqtt.js/"])
    func notFound(_ path: String) async throws {
        try await WebRig.run { rig in
            let answer = try await rig.answer(to: "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(answer.status == 404)
            #expect(answer.fields["content-type"] == "application/problem+json")
        }
    }

    @Test("one connection serves many requests; close and HTTP/1.0 end it")
    func keepAlive() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            for number in 0..<20 {
                try await client.send(Self.post("a/\(number)"))
                #expect(try await client.answer().status == 200)
            }
            try await client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            let last = try await client.answer()
            #expect(last.fields["connection"] == "close")
            #expect(try await client.end().isEmpty)
            try await client.close()

            let old = try await rig.connect()
            try await old.send("GET /healthz HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
            #expect(try await old.answer().fields["connection"] == "keep-alive")
            try await old.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try await old.answer().fields["connection"] == "close")
            #expect(try await old.end().isEmpty)
            try await old.close()
        }
    }

    @Test("pipelined requests are answered in order, one at a time")
    func pipelining() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send((0..<500).map { Self.post("a/\($0)") + Self.health }.joined())
            for number in 0..<500 {
                let answer = try await client.answer()
                #expect(answer.body.contains("\"id\""), "\(number): \(answer.body)")
                #expect(try await client.answer().body.contains("\"status\":\"ok\""))
            }
            #expect(rig.broker.topics == (0..<500).map { "a/\($0)" })
            try await client.close()
        }
    }

    @Test("thousands of pipelined pages in one read do not recurse")
    func manyPages() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            let request = "HEAD / HTTP/1.1\r\nHost:a\r\n\r\n"
            try await client.send(String(repeating: request, count: 10_000))
            try await client.send("HEAD / HTTP/1.0\r\n\r\n")
            let answers = String(decoding: try await client.end(), as: UTF8.self)
            #expect(answers.split(separator: "HTTP/1.1 200 OK").count == 10_001)
            try await client.close()
        }
    }

    @Test("a client that does not take its answers does not fill the memory with them")
    func unreadAnswers() throws {
        let channel = try Self.embedded("")
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        channel.isWritable = false
        try channel.writeInbound(ByteBuffer(string: String(repeating: request, count: 1000)))
        #expect(try Self.answers(of: channel) == 0)
        channel.isWritable = true
        channel.pipeline.fireChannelWritabilityChanged()
        #expect(try Self.answers(of: channel) == 1000)
        _ = try channel.finish()
    }

    private static func answers(of channel: EmbeddedChannel) throws -> Int {
        var count = 0
        while case .byteBuffer(let bytes)? = try channel.readOutbound(as: IOData.self) {
            if String(buffer: bytes).hasPrefix("HTTP/1.1 200") { count += 1 }
        }
        return count
    }

    @Test("mutated requests never bring the port down")
    func fuzz() async throws {
        try await WebRig.run { rig in
            var random = SeededGenerator(seed: 11)
            var seeds = Self.malformedCases.map(\.bytes).filter { $0.count < 1000 }
            seeds += [Self.health, Self.post("a/b", "body"), WebUpgradeTests.request()].map { Array($0.utf8) }
            for _ in 0..<1000 {
                var bytes = seeds[random.below(seeds.count)] + seeds[random.below(seeds.count)]
                for _ in 0..<random.below(5) {
                    bytes[random.below(bytes.count)] = random.byte()
                }
                let client = try await rig.connect()
                try await client.send(bytes)
                try await client.closeSendingSide()
                _ = try await client.end()
                try await client.close()
            }
            try await rig.expect(200) { try await rig.answer(to: Self.health) }
        }
    }

    @Test("requests byte by byte")
    func bytewise() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.sendBytewise(Self.post("slow", "abc") + Self.health)
            #expect(try await client.answer().status == 200)
            #expect(try await client.answer().status == 200)
            #expect(rig.broker.published.first?.payload == ByteBuffer(string: "abc"))
            try await client.close()
        }
    }

    @Test("a client that closes its sending side still gets its answers")
    func halfClose() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.post("a") + Self.post("b"))
            try await client.closeSendingSide()
            #expect(try await client.answer().status == 200)
            #expect(try await client.answer().status == 200)
            #expect(try await client.end().isEmpty)
            try await client.close()
        }
    }

    struct Malformed: Sendable, CustomTestStringConvertible {
        var name: String
        var bytes: [UInt8]
        var status = 400

        init(_ name: String, _ text: String, _ status: Int = 400) {
            self.name = name
            bytes = Array(text.utf8)
            self.status = status
        }

        var testDescription: String { name }
    }

    static let malformedCases: [Malformed] = [
        Malformed("not HTTP", "GARBAGE\r\n\r\n"),
        Malformed("a TLS hello", "\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}"),
        Malformed("an MQTT CONNECT", "\u{10}\u{0C}\u{00}\u{04}MQTT\u{04}\u{02}\u{00}\u{3C}\u{00}\u{00}"),
        Malformed("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        Malformed("HTTP/9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
        Malformed("HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Malformed("no Host", "GET / HTTP/1.1\r\n\r\n"),
        Malformed("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        Malformed(
            "Content-Length and chunked",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        Malformed(
            "chunked and Content-Length",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"
        ),
        Malformed(
            "two different lengths",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"
        ),
        Malformed(
            "two equal lengths",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxx"
        ),
        Malformed("a length of +2", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nxx"),
        Malformed("a length of -2", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\nxx"),
        Malformed("a length of 0x2", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nxx"),
        Malformed("lengths in a list", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nxx"),
        Malformed(
            "a length of 2^64",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"
        ),
        Malformed(
            "a length of 2^63",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
            413
        ),
        Malformed("a folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"),
        Malformed("a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        Malformed("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\u{0}c\r\n\r\n"),
        Malformed("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\u{0}: b\r\n\r\n"),
        Malformed("NUL in the target", "GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n"),
        Malformed("a field without name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        Malformed("a field without colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
        Malformed("an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed("an asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        Malformed(
            "a bad chunk size", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Malformed(
            "a huge chunk size",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"
        ),
        Malformed(
            "gzip, chunked", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        Malformed(
            "chunked, gzip", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
        Malformed("gzip", "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        Malformed(
            "another expectation",
            "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nExpect: gold\r\nContent-Length: 1\r\n\r\n", 417),
        Malformed(
            "101 fields",
            "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: 100) + "\r\n",
            431
        ),
        Malformed(
            "17 KB in one field",
            "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "y", count: 17_000) + "\r\n\r\n", 431),
        Malformed(
            "17 KB in many fields",
            "GET / HTTP/1.1\r\nHost: a\r\n"
                + String(repeating: "X: " + String(repeating: "y", count: 1000) + "\r\n", count: 17) + "\r\n",
            431
        ),
        Malformed(
            "a target of 17 KB", "GET /" + String(repeating: "y", count: 17_000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    ]

    static let trailers = Malformed(
        "17 KB of trailers",
        "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
            + String(repeating: "X: " + String(repeating: "y", count: 1000) + "\r\n", count: 17) + "\r\n",
        431
    )

    @Test(
        "bad input is answered and ends the connection, first request or later", arguments: malformedCases + [trailers])
    func malformed(_ test: Malformed) async throws {
        try await WebRig.run { rig in
            for isFirst in [true, false] {
                let client = try await rig.connect()
                if !isFirst {
                    try await client.send(Self.health)
                    #expect(try await client.answer().status == 200)
                }
                try await client.send(test.bytes)
                let answer = try await client.answer()
                #expect(answer.status == test.status, "\(answer.body)")
                #expect(answer.fields["connection"] == "close")
                #expect(try await client.end().isEmpty)
                try await client.close()
            }
            #expect(rig.broker.published.isEmpty)
        }
    }

    @Test("a malformed request behind a good one waits for its turn")
    func malformedBehindGood() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.post("a") + "GARBAGE\r\n\r\n")
            #expect(try await client.answer().status == 200)
            #expect(try await client.answer().status == 400)
            #expect(try await client.end().isEmpty)
            try await client.close()
        }
    }

    /// A connection without socket, whose clock is moved by hand.
    static func embedded(_ bytes: String, broker: NotingBroker = NotingBroker()) throws -> EmbeddedChannel {
        var options = WebListenerOptions(host: "127.0.0.1", port: 0)
        options.firstRequestTimeout = .seconds(10)
        options.bodyTimeout = .seconds(30)
        options.idleTimeout = .seconds(60)
        let channel = EmbeddedChannel()
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try WebListener.configure(
            channel,
            arrival: Arrival(at: channel.embeddedEventLoop.now),
            options: options,
            router: WebListener.router(options: options, pages: WebRig.pages, systemName: nil),
            gateway: broker.gateway,
            logger: Logger(label: "test"),
            openConnection: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
        )
        if !bytes.isEmpty { try channel.writeInbound(ByteBuffer(string: bytes)) }
        return channel
    }

    @Test(
        "the first request has ten seconds, however it drips",
        arguments: ["", "GET /", "GET / HTTP/1.1\r\nHost: a\r\nX: y"])
    func firstRequestDeadline(_ start: String) throws {
        let channel = try Self.embedded(start)
        for _ in 0..<9 {
            channel.embeddedEventLoop.advanceTime(by: .seconds(1))
            if !start.isEmpty { try channel.writeInbound(ByteBuffer(string: "x")) }
            #expect(channel.isActive)
        }
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test("a body has thirty seconds, and then the client is told")
    func bodyDeadline() throws {
        let channel = try Self.embedded("POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        for _ in 0..<29 {
            channel.embeddedEventLoop.advanceTime(by: .seconds(1))
            try channel.writeInbound(ByteBuffer(string: "x"))
        }
        let early = try channel.readOutbound(as: IOData.self)
        #expect(early == nil)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        guard case .byteBuffer(let head) = try #require(try channel.readOutbound(as: IOData.self)) else {
            Issue.record("a file region")
            return
        }
        #expect(String(buffer: head).hasPrefix("HTTP/1.1 408 "))
        channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(!channel.isActive)
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test("a connection that asks nothing more is closed after a minute")
    func idleDeadline() throws {
        let channel = try Self.embedded("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        channel.embeddedEventLoop.advanceTime(by: .seconds(59))
        #expect(channel.isActive)
        try channel.writeInbound(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        channel.embeddedEventLoop.advanceTime(by: .seconds(59))
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test("the deadline of the first request holds on a socket too")
    func firstRequestDeadlineOnSocket() async throws {
        try await WebRig.run({ $0.firstRequestTimeout = .milliseconds(50) }) { rig in
            let client = try await rig.connect()
            try await client.send("GET / HT")
            #expect(try await client.end().isEmpty)
            try await client.close()
        }
    }

    @Test("at shutdown idle connections close and a request under way is answered")
    func quiescing() async throws {
        let (permits, permit) = AsyncStream.makeStream(of: Void.self)
        try await WebRig.run(broker: NotingBroker(permits: permits)) { rig in
            let idle = try await rig.connect()
            try await idle.send(Self.health)
            #expect(try await idle.answer().status == 200)
            let busy = try await rig.connect()
            try await busy.send(
                "POST /v1/publish/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
            #expect(try await busy.answer().status == 100)

            rig.listener.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            try await rig.listener.closeFuture.get()
            #expect(try await idle.end().isEmpty)
            try await busy.send("x")
            permit.yield()
            let answer = try await busy.answer()
            #expect(answer.status == 200 && answer.fields["connection"] == "close")
            #expect(try await busy.end().isEmpty)
            try await busy.close()
            try await idle.close()
        }
    }
}

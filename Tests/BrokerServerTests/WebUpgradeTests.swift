import BrokerServer
import NIOCore
import NIOEmbedded
import Testing

@Suite("WebSocket upgrade")
struct WebUpgradeTests {
    /// The request of a browser; a field given here replaces the usual one, an empty one drops it.
    static func request(
        _ line: String = "GET /mqtt HTTP/1.1",
        _ changes: [String: String] = [:],
        port: Int = 8083
    ) -> String {
        var fields = [
            ("Host", "127.0.0.1:\(port)"), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", "mqtt"), ("Origin", ""),
        ]
        fields = fields.map { name, value in (name, changes[name] ?? value) }.filter { !$0.1.isEmpty }
        return line + "\r\n" + fields.map { "\($0): \($1)\r\n" }.joined() + "\r\n"
    }

    @Test("the answer is 101 with the subprotocol, and then frames travel [5:MQTT-6.0.0-4] [311:MQTT-6.0.0-4]")
    func success() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.request(port: rig.port))
            let answer = try await client.answer()
            #expect(answer.status == 101)
            #expect(answer.fields["upgrade"] == "websocket")
            #expect(answer.fields["connection"]?.lowercased() == "upgrade")
            #expect(answer.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            #expect(answer.fields["sec-websocket-protocol"] == "mqtt")
            for count in [1, 125, 126, 70_000] {
                let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
                try await client.send(ClientFrame.make(payload))
                var echoed: [UInt8] = []
                while echoed.count < count { echoed += try await client.frame() }
                #expect(echoed == payload)
            }
            try await client.send(ClientFrame.make([0x03, 0xE8], opcode: 0x8))
            #expect(try await client.end() == [0x88, 2, 0x03, 0xE8])
            try await client.close()
        }
    }

    @Test(
        "Connection may hold more than Upgrade, in any case",
        arguments: ["keep-alive, Upgrade", "upgrade", "UPGRADE,keep-alive", "keep-alive\r\nConnection: Upgrade"]
    )
    func connectionField(_ value: String) async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            let request = Self.request("GET /mqtt HTTP/1.1", ["Connection": value, "Upgrade": "WebSocket"])
            try await client.send(Array(request.utf8) + ClientFrame.make([5]))
            #expect(try await client.answer().status == 101)
            try await client.expect([0x82, 1, 5])
            try await client.close()
        }
    }

    @Test("a request byte by byte upgrades too")
    func bytewise() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.sendBytewise(Self.request())
            #expect(try await client.answer().status == 101)
            try await client.send(ClientFrame.make([5]))
            try await client.expect([0x82, 1, 5])
            try await client.close()
        }
    }

    @Test("bytes right behind the request are not lost", arguments: [1, 2, 3, 10, 100, 400])
    func bytesBehind(_ cut: Int) async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            let bytes = Array(Self.request().utf8) + ClientFrame.make([1, 2, 3]) + ClientFrame.make([4, 5])
            try await client.send(Array(bytes.dropLast(cut)))
            try await client.send(Array(bytes.suffix(cut)))
            #expect(try await client.answer().status == 101)
            var echoed: [UInt8] = []
            while echoed.count < 5 { echoed += try await client.frame() }
            #expect(echoed == [1, 2, 3, 4, 5])
            try await client.close()
        }
    }

    @Test("an HTTP request right behind the upgrade is bytes for the WebSocket, and no frame")
    func requestBehind() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.request() + HTTPConnectionTests.health)
            #expect(try await client.answer().status == 101)
            #expect(try await client.end() == [0x88, 2, 0x03, 0xEA])
            try await client.close()
        }
    }

    @Test("an upgrade may follow ordinary requests on the same connection")
    func later() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(HTTPConnectionTests.post("a") + Self.request())
            #expect(try await client.answer().status == 200)
            #expect(try await client.answer().status == 101)
            try await client.send(ClientFrame.make([9]))
            try await client.expect([0x82, 1, 9])
            try await client.close()
        }
    }

    @Test(
        "ours is chosen from what is offered, mqtt first",
        arguments: [
            ("mqtt", "mqtt"), ("mqttv3.1", "mqttv3.1"), ("mqttv5", "mqttv5"), ("mqttv3.1, mqtt", "mqtt"),
            ("mqttv5,mqttv3.1", "mqttv3.1"), ("chat,mqtt", "mqtt"), ("  mqtt  ,x", "mqtt"), (",mqtt,,", "mqtt"),
            ("\"x\", mqtt", "mqtt"), ("mqttv5\r\nSec-WebSocket-Protocol: mqtt", "mqtt"),
            ("soap , wamp\r\nsec-websocket-protocol:  mqttv5 ", "mqttv5"),
        ]
    )
    func subprotocols(_ offered: String, _ chosen: String) async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.request("GET /mqtt HTTP/1.1", ["Sec-WebSocket-Protocol": offered]))
            let answer = try await client.answer()
            #expect(answer.status == 101)
            #expect(answer.fields["sec-websocket-protocol"] == chosen)
            try await client.close()
        }
    }

    @Test("each of several paths speaks MQTT, the query does not count", arguments: ["/mqtt", "/ws/mqtt", "/?a=b"])
    func paths(_ path: String) async throws {
        try await WebRig.run({ $0.webSocketPaths = ["/mqtt", "/ws/mqtt", "/"] }) { rig in
            let client = try await rig.connect()
            try await client.send(Self.request("GET \(path) HTTP/1.1"))
            #expect(try await client.answer().status == 101)
            try await client.close()
        }
    }

    @Test("a listener may bear clients that offer no subprotocol")
    func noSubprotocol() async throws {
        try await WebRig.run({ $0.requireSubprotocol = false }) { rig in
            let client = try await rig.connect()
            try await client.send(Self.request("GET /mqtt HTTP/1.1", ["Sec-WebSocket-Protocol": ""]))
            let answer = try await client.answer()
            #expect(answer.status == 101 && answer.fields["sec-websocket-protocol"] == nil)
            try await client.close()
        }
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var line = "GET /mqtt HTTP/1.1"
        var changes: [String: String] = [:]
        var status: Int
        var says: String

        var testDescription: String { "\(line) \(changes)" }
    }

    static let refusals: [Refusal] = [
        Refusal(line: "GET /chat HTTP/1.1", status: 404, says: "MQTT is at /mqtt"),
        Refusal(line: "GET /mqtt/ HTTP/1.1", status: 404, says: "MQTT is at /mqtt"),
        Refusal(line: "GET / HTTP/1.1", status: 404, says: "MQTT is at /mqtt"),
        Refusal(line: "POST /mqtt HTTP/1.1", status: 400, says: "GET"),
        Refusal(line: "GET /mqtt HTTP/1.0", status: 400, says: "HTTP/1.1"),
        Refusal(changes: ["Sec-WebSocket-Protocol": ""], status: 400, says: "offered (Sec-WebSocket-Protocol): none"),
        Refusal(changes: ["Sec-WebSocket-Protocol": "MQTT"], status: 400, says: "MQTT. Accepted here: mqtt, mqttv3.1"),
        Refusal(changes: ["Sec-WebSocket-Protocol": "soap,wamp"], status: 400, says: "soap, wamp"),
        Refusal(changes: ["Sec-WebSocket-Protocol": ",,,"], status: 400, says: "Accepted here"),
        Refusal(changes: ["Sec-WebSocket-Version": "8"], status: 426, says: "13"),
        Refusal(changes: ["Sec-WebSocket-Version": ""], status: 426, says: "13"),
        Refusal(changes: ["Sec-WebSocket-Key": ""], status: 400, says: "Sec-WebSocket-Key"),
        Refusal(changes: ["Sec-WebSocket-Key": "short"], status: 400, says: "Sec-WebSocket-Key"),
        Refusal(changes: ["Sec-WebSocket-Key": "!!!!!!!!!!!!!!!!!!!!!!=="], status: 400, says: "Sec-WebSocket-Key"),
        Refusal(changes: ["Connection": "keep-alive"], status: 400, says: "Connection: Upgrade"),
        Refusal(changes: ["Upgrade": ""], status: 426, says: "MQTT over WebSocket"),
        Refusal(changes: ["Origin": "http://evil.example"], status: 403, says: "origin"),
        Refusal(changes: ["Origin": "http://evil.example", "Host": "evil.example"], status: 403, says: "origin"),
        Refusal(changes: ["Origin": "null"], status: 403, says: "origin"),
        Refusal(changes: ["Connection": "Upgrade\r\nContent-Length: 3"], status: 400, says: "no body"),
        Refusal(changes: ["Connection": "Upgrade\r\nTransfer-Encoding: chunked"], status: 400, says: "no body"),
    ]

    @Test("a refused upgrade says why", arguments: refusals)
    func refused(_ test: Refusal) async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.request(test.line, test.changes))
            let answer = try await client.answer()
            #expect(answer.status == test.status)
            #expect(answer.body.contains(test.says), "\(answer.body)")
            try await client.close()
        }
    }

    @Test("the listener's own page and a configured one may connect")
    func origins() async throws {
        let others = try [WebOriginPattern("https://*.example.com")]
        try await WebRig.run({ $0.origins = others }) { rig in
            for origin in ["http://127.0.0.1:\(rig.port)", "https://chat.example.com"] {
                let client = try await rig.connect()
                try await client.send(Self.request("GET /mqtt HTTP/1.1", ["Origin": origin], port: rig.port))
                #expect(try await client.answer().status == 101)
                try await client.close()
            }
        }
    }

    @Test("without an Origin nobody passes where one is required")
    func originRequired() async throws {
        try await WebRig.run({ $0.allowMissingOrigin = false }) { rig in
            try await rig.expect(403) { try await rig.answer(to: Self.request()) }
        }
    }

    @Test("the deadlines of HTTP do not follow into the WebSocket")
    func noDeadline() throws {
        let channel = try HTTPConnectionTests.embedded(Self.request())
        channel.embeddedEventLoop.run()
        guard case .byteBuffer(let head) = try #require(try channel.readOutbound(as: IOData.self)) else {
            Issue.record("a file region")
            return
        }
        #expect(String(buffer: head).hasPrefix("HTTP/1.1 101 "))
        channel.embeddedEventLoop.advanceTime(by: .hours(1))
        #expect(channel.isActive)
        // What comes and goes is bytes now.
        try channel.writeInbound(ByteBuffer(bytes: [1, 2]))
        let inbound = try channel.readInbound(as: ByteBuffer.self)
        #expect(inbound == ByteBuffer(bytes: [1, 2]))
        try channel.writeOutbound(ByteBuffer(bytes: [3]))
        let outbound = try channel.readOutbound(as: ByteBuffer.self)
        #expect(outbound == ByteBuffer(bytes: [3]))
        _ = try channel.finish()
    }

    @Test("at shutdown the event reaches the handler behind the upgrade")
    func quiescing() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.request())
            #expect(try await client.answer().status == 101)
            rig.listener.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            #expect(try await client.end() == [0x88, 2, 0x03, 0xE9])
            try await client.close()
        }
    }

    @Test("a client that ends its input ends the connection")
    func endOfInput() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(Self.request())
            #expect(try await client.answer().status == 101)
            try await client.closeSendingSide()
            #expect(try await client.end().isEmpty)
            try await client.close()
        }
    }
}

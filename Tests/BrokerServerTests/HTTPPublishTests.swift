import BrokerCore
import BrokerServer
import MQTTCodec
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@Suite("HTTP publish")
struct HTTPPublishTests {
    struct Topic: Sendable, CustomTestStringConvertible {
        var target: String
        /// What the broker sees; nil when the request is refused.
        var topic: String?
        var status = 200

        var testDescription: String { target }
    }

    static let topicCases: [Topic] = [
        Topic(target: "room/1", topic: "room/1"),
        Topic(target: "a", topic: "a"),
        Topic(target: "/a", topic: "/a"),
        Topic(target: "a//b", topic: "a//b"),
        Topic(target: "a/", topic: "a/"),
        Topic(target: "/", topic: "/"),
        Topic(target: "a/../b/.", topic: "a/../b/."),
        Topic(target: "a%20b", topic: "a b"),
        Topic(target: "%E6%88%BF%E9%97%B4/1", topic: "房间/1"),
        Topic(target: "房间/1", status: 400),
        Topic(target: "e%CC%81", topic: "e\u{301}"),
        Topic(target: "100%25", topic: "100%"),
        Topic(target: "a%3Fb", topic: "a?b"),
        Topic(target: "a$b", topic: "a$b"),
        Topic(target: "a;b=c&d", topic: "a;b=c&d"),
        Topic(target: "a%EF%BF%BD", topic: "a\u{FFFD}"),
        Topic(target: "", status: 400),
        Topic(target: "?qos=1", status: 400),
        Topic(target: "a%2Fb", status: 400),
        Topic(target: "a%2fb", status: 400),
        Topic(target: "a%", status: 400),
        Topic(target: "a%4", status: 400),
        Topic(target: "a%zz", status: 400),
        Topic(target: "a%+1", status: 400),
        Topic(target: "a%00b", status: 400),
        Topic(target: "a%FFb", status: 400),
        Topic(target: "a%ED%A0%80", status: 400),
        Topic(target: "a%C0%AF", status: 400),
        Topic(target: "a/+/b", status: 400),
        Topic(target: "a/%2B", status: 400),
        Topic(target: "a/%23", status: 400),
        Topic(target: "a/#", status: 400),
        Topic(target: "$SYS/broker", status: 403),
        Topic(target: "%24SYS/broker", status: 403),
        Topic(target: "$share/g/a", status: 403),
    ]

    /// An empty topic [5:MQTT-4.7.3-1] [311:MQTT-4.7.3-1] and U+0000 [5:MQTT-4.7.3-2] [311:MQTT-4.7.3-2] are among them.
    @Test("the topic comes from the raw path [5:MQTT-3.3.2-2] [311:MQTT-3.3.2-2]", arguments: topicCases)
    func topics(_ test: Topic) async throws {
        try await WebRig.run { rig in
            let answer = try await rig.publish(test.target)
            #expect(answer.status == test.status, "\(answer.body)")
            #expect(rig.broker.published.map { Array($0.topic.utf8) } == (test.topic.map { [Array($0.utf8)] } ?? []))
        }
    }

    @Test("a topic has 65,535 bytes at most [5:MQTT-4.7.3-3] [311:MQTT-4.7.3-3]", arguments: [65_535, 65_536])
    func longTopic(_ count: Int) {
        let path = PublishRoute.prefix + String(repeating: "a", count: count)
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: path)
        switch PublishRoute.request(path: path[...], query: nil, head: head) {
        case .accepted(let message): #expect(message.topic.count == 65_535)
        case .refused(let answer): #expect(count == 65_536 && answer.status == .badRequest)
        }
    }

    @Test("a raw path that is not UTF-8 is refused [5:MQTT-1.5.4-1] [311:MQTT-1.5.3-1]")
    func rawBytes() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            try await client.send(
                Array("POST /v1/publish/a".utf8) + [0xFF]
                    + Array(" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".utf8)
            )
            #expect(try await client.answer().status == 400)
            #expect(rig.broker.published.isEmpty)
            try await client.close()
        }
    }

    @Test(
        "the query knows qos and retain",
        arguments: [
            ("", 1, false), ("?", 1, false), ("?qos=0", 0, false), ("?qos=1", 1, false), ("?qos=2", 2, false),
            ("?retain=true", 1, true), ("?retain=false", 1, false), ("?qos=2&retain=true", 2, true),
            ("?retain=true&qos=0", 0, true),
        ] as [(String, UInt8, Bool)]
    )
    func query(_ query: String, _ qos: UInt8, _ isRetained: Bool) async throws {
        try await WebRig.run { rig in
            try await rig.expect(200) { try await rig.publish("a" + query, method: "PUT") }
            let message = try #require(rig.broker.published.first)
            #expect(message.topic == "a")
            #expect(message.qos.rawValue == qos)
            #expect(message.isRetained == isRetained)
        }
    }

    @Test(
        "and nothing else",
        arguments: [
            "?qos=3", "?qos=", "?qos", "?qos=01", "?qos=-1", "?qos=1&qos=1", "?retain=yes", "?retain", "?retain=1",
            "?retain=true&retain=true", "?quos=1", "?qos=1&x", "?qos=1?retain=true", "?=1",
        ]
    )
    func badQuery(_ query: String) async throws {
        try await WebRig.run { rig in
            let answer = try await rig.publish("a" + query)
            #expect(answer.status == 400)
            #expect(answer.fields["content-type"] == "application/problem+json")
            #expect(answer.body.hasPrefix(#"{"type":"about:blank","title":"Bad Request","status":400,"detail":""#))
            #expect(rig.broker.published.isEmpty)
        }
    }

    @Test("the answer says what became of the message")
    func receipt() async throws {
        try await WebRig.run { rig in
            let answer = try await rig.publish("room/1")
            #expect(answer.status == 200)
            #expect(answer.fields["content-type"] == "application/json")
            #expect(
                answer.body == """
                    {"id":"00000000000000010000000000000001","durable":true,"matched":2,\
                    "links":[{"name":"hub","queued":true}]}

                    """
            )
            #expect(rig.broker.published.first?.payload == ByteBuffer(string: "hi"))
        }
    }

    @Test("an explicit content type travels with the message; what curl adds by itself does not")
    func contentType() async throws {
        try await WebRig.run { rig in
            try await rig.expect(200) { try await rig.publish("a", fields: "Content-Type: application/json\r\n") }
            let form = "Content-Type: application/x-www-form-urlencoded\r\n"
            try await rig.expect(200) { try await rig.publish("a", fields: form, body: "a=%20b+c") }
            try await rig.expect(400) { try await rig.publish("a", fields: "Content-Type: a\u{FC}\r\n") }
            #expect(rig.broker.published.map(\.properties.contentType) == ["application/json", nil])
            #expect(rig.broker.published.last?.payload == ByteBuffer(string: "a=%20b+c"))
        }
    }

    @Test("a body at the limit passes; one byte more is refused, announced or not")
    func bodyLimit() async throws {
        try await WebRig.run({ $0.bodyBytesMax = 1000 }) { rig in
            let body = String(repeating: "x", count: 1000)
            try await rig.expect(200) { try await rig.publish("a", body: body) }
            try await rig.expect(413) { try await rig.publish("a", body: body + "y") }
            let chunked = try await rig.answer(
                to: "POST /v1/publish/a HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "3e8\r\n\(body)\r\n1\r\ny\r\n0\r\n\r\n"
            )
            #expect(chunked.status == 413)
            #expect(rig.broker.published.count == 1)
        }
    }

    @Test("a large body arrives whole")
    func largeBody() async throws {
        try await WebRig.run { rig in
            let body = String(repeating: "0123456789abcdef", count: 1 << 16)
            try await rig.expect(200) { try await rig.publish("a", body: body) }
            #expect(rig.broker.published.first?.payload == ByteBuffer(string: body))
        }
    }

    @Test("chunks and trailers make one payload, byte by byte too")
    func chunked() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            for _ in 0..<2 {
                try await client.sendBytewise(
                    "PUT /v1/publish/a/b?qos=2 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
                )
                #expect(try await client.answer().status == 200)
            }
            #expect(rig.broker.published.map(\.payload) == Array(repeating: ByteBuffer(string: "abcde"), count: 2))
            try await client.close()
        }
    }

    @Test("an empty body is an empty payload")
    func emptyBody() async throws {
        try await WebRig.run { rig in
            let bare = "POST /v1/publish/a?retain=true HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            try await rig.expect(200) { try await rig.answer(to: bare) }
            #expect(rig.broker.published.first?.payload.readableBytes == 0)
        }
    }

    @Test("a client that waits for 100 gets it when its head is good, and the refusal at once when not")
    func expectContinue() async throws {
        try await WebRig.run { rig in
            let client = try await rig.connect()
            let expect = "Host: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
            try await client.send("POST /v1/publish/a HTTP/1.1\r\n" + expect)
            #expect(try await client.answer().status == 100)
            try await client.send("hi")
            #expect(try await client.answer().status == 200)
            try await client.send("POST /v1/publish/a%2Fb HTTP/1.1\r\n" + expect)
            let refusal = try await client.answer()
            #expect(refusal.status == 400)
            #expect(refusal.fields["connection"] == "close")
            _ = try await client.end()
            try await client.close()
        }
    }

    @Test(
        "a refusal of the broker has its own status",
        arguments: [
            (GatewayRefusal.draining, 503), (.full, 507), (.notAllowed, 403), (.topic, 400), (.qosNotSupported, 403),
            (.retainNotSupported, 403),
        ]
    )
    func refusals(_ refusal: GatewayRefusal, _ status: Int) async throws {
        try await WebRig.run(broker: NotingBroker(refusal: refusal)) { rig in
            try await rig.expect(status) { try await rig.publish("a") }
        }
    }

    @Test("a port that not everybody may use is not used for them by a proxy either")
    func allowed() async throws {
        try await WebRig.run({ options in
            options.trustedProxies = TrustedProxies(["127.0.0.1"]) ?? .none
            options.allowed = ["127.0.0.0/8", "192.0.2.0/24"].compactMap { AddressRange($0) }
        }) { rig in
            try await rig.expect(200) { try await rig.publish("a") }
            try await rig.expect(200) { try await rig.publish("a", fields: "X-Forwarded-For: 192.0.2.7\r\n") }
            try await rig.expect(403) { try await rig.publish("a", fields: "X-Forwarded-For: 203.0.113.7\r\n") }
            #expect(rig.broker.published.count == 2)
        }
    }

    @Test("a message is published within the limits of its port")
    func door() async throws {
        let door = Door(ClientLimits())
        try await WebRig.run({ $0.door = door }) { rig in
            try await rig.expect(200) { try await rig.publish("a") }
            #expect(rig.broker.published.first?.door === door)
        }
    }

    @Test("a message that the disk does not take is answered after 30 s, and says what is known")
    func stuck() throws {
        let (permits, _) = AsyncStream<Void>.makeStream()
        let channel = try HTTPConnectionTests.embedded(
            "POST /v1/publish/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi",
            broker: NotingBroker(permits: permits)
        )
        channel.embeddedEventLoop.advanceTime(by: .seconds(29))
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        let head = try #require(try channel.readOutbound(as: ByteBuffer.self))
        #expect(String(buffer: head).hasPrefix("HTTP/1.1 504 "))
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test("other methods are told which ones there are", arguments: ["GET", "DELETE", "PATCH", "OPTIONS"])
    func methods(_ method: String) async throws {
        try await WebRig.run { rig in
            let answer = try await rig.publish("a", method: method, body: "")
            #expect(answer.status == 405)
            #expect(answer.fields["allow"] == "POST, PUT")
        }
    }

    @Test("a page of somebody else publishes nothing, the listener's own page does")
    func origins() async throws {
        let others = try [WebOriginPattern("https://chat.example.com")]
        try await WebRig.run({ $0.origins = others }) { rig in
            try await rig.expect(403) { try await rig.publish("a", fields: "Origin: http://evil.example\r\n") }
            try await rig.expect(403) { try await rig.publish("a", fields: "Origin: null\r\n") }
            #expect(rig.broker.published.isEmpty)
            try await rig.expect(200) { try await rig.publish("a", fields: "Origin: http://127.0.0.1:\(rig.port)\r\n") }
            try await rig.expect(200) { try await rig.publish("a", fields: "Origin: https://chat.example.com\r\n") }
        }
    }

    @Test("an offer of HTTP/2, as Java's client makes it, is left aside")
    func h2c() async throws {
        try await WebRig.run { rig in
            let answer = try await rig.publish(
                "a",
                fields: "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
            )
            #expect(answer.status == 200)
            #expect(answer.fields["connection"] == "close")
            #expect(rig.broker.published.first?.payload == ByteBuffer(string: "hi"))
        }
    }
}

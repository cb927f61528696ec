import BrokerCore
import BrokerServer
import MQTTCodec
import NIOCore
import NIOHTTP1
import TestSupport
import Testing

@Suite("User name and password by HTTP")
struct BasicCredentialsTests {
    private func shown(_ fields: String...) -> BasicCredentials.Shown {
        BasicCredentials.of(HTTPHeaders(fields.map { ("Authorization", $0) }))
    }

    private func login(_ username: MQTTString, _ password: String) -> BasicCredentials.Shown {
        .login(username: username, password: Array(password.utf8))
    }

    @Test("what is Basic is read as RFC 7617 says")
    func read() {
        #expect(shown() == .nothing)
        #expect(shown("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == login("Aladdin", "open sesame"))
        #expect(shown("basic  dGVzdDoxMjPCow==") == login("test", "123£"))
        #expect(shown("Basic YW5uOmE6Yjpj") == login("ann", "a:b:c"))
        #expect(shown("Basic YW5uOg==") == login("ann", ""))
    }

    @Test(
        "what is not Basic, or broken, or there twice shows something that fits nobody",
        arguments: ["", "Basic", "Basic ", "Bearer abc", "Basic ###", "Basic YW5u", "Basic OnBhc3M=", "Basic /zph"])
    func unreadable(_ field: String) {
        #expect(shown(field) == .unreadable)
    }

    @Test("two fields are one too many")
    func twice() { #expect(shown("Basic YW5uOmE=", "Basic YW5uOmE=") == .unreadable) }

    // MARK: - On a connection

    /// A broker whose door knows ann; what it is asked may be answered later.
    private static func broker() -> NotingBroker {
        NotingBroker { login, answer in
            guard let username = login.username else { return .refused(.notAuthorized) }
            let verdict: AuthenticationVerdict =
                login.password == Array("secret".utf8) && username == "ann"
                ? .accepted(username: username) : .refused(username == "busy" ? .busy : .badCredentials)
            // Some answers take a thread.
            if login.password?.first == UInt8(ascii: "s") {
                Task { answer(verdict) }
                return nil
            }
            return verdict
        }
    }

    private static let ann = "Authorization: Basic YW5uOnNlY3JldA==\r\n"

    @Test("the right ones publish, under their name; others hear 401 and how to do it")
    func publish() async throws {
        try await WebRig.run(broker: Self.broker()) { rig in
            try await rig.expect(200) { try await rig.publish("a", fields: Self.ann) }
            let nobody = try await rig.publish("b")
            #expect(nobody.status == 401)
            #expect(nobody.fields["www-authenticate"] == "Basic realm=\"drawbridge\", charset=\"UTF-8\"")
            #expect(nobody.fields["connection"] == "close")
            try await rig.expect(401) { try await rig.publish("c", fields: "Authorization: Basic YW5uOndyb25n\r\n") }
            try await rig.expect(401) {
                try await rig.publish("c", fields: "Authorization: Basic YW5uOnNlY3JlVA==\r\n")
            }
            try await rig.expect(401) { try await rig.publish("d", fields: "Authorization: Bearer ann\r\n") }
            try await rig.expect(401) { try await rig.publish("e", fields: Self.ann + Self.ann) }
            let busy = try await rig.publish("f", fields: "Authorization: Basic YnVzeTp4\r\n")
            #expect(busy.status == 503 && busy.fields["retry-after"] == "1")
            #expect(rig.broker.topics == ["a"])
            #expect(
                rig.broker.published.map(\.principal)
                    == [Principal(username: "ann", clientID: "", address: "127.0.0.1")]
            )
        }
    }

    @Test("requests behind one that is being asked about wait their turn")
    func pipelined() async throws {
        try await WebRig.run(broker: Self.broker()) { rig in
            let client = try await rig.connect()
            func post(_ topic: String) -> String {
                HTTPConnectionTests.post(topic, "hello").replacing("\r\n\r\n", with: "\r\n\(Self.ann)\r\n")
            }
            try await client.send(post("a") + post("b") + HTTPConnectionTests.health)
            for _ in 0..<3 { #expect(try await client.answer().status == 200) }
            try await client.close()
            #expect(rig.broker.topics == ["a", "b"])
            #expect(rig.broker.published.map { String(buffer: $0.payload) } == ["hello", "hello"])
        }
    }

    @Test("nobody is told to send a body before it is known who sends it")
    func expectation() async throws {
        try await WebRig.run(broker: Self.broker()) { rig in
            let client = try await rig.connect()
            try await client.send(
                "POST /v1/publish/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            )
            #expect(try await client.answer().status == 401)
            #expect(try await client.end().isEmpty)
            try await client.close()
        }
    }

    @Test("a client that goes while it is being asked about publishes nothing")
    func gone() async throws {
        let (answers, continuation) = AsyncStream.makeStream(of: Authenticator.Answer.self)
        let broker = NotingBroker { _, answer in
            continuation.yield(answer)
            return nil
        }
        try await WebRig.run(broker: broker) { rig in
            let client = try await rig.connect()
            try await client.send(HTTPConnectionTests.post("a").replacing("\r\n\r\nx", with: "\r\n\(Self.ann)\r\nx"))
            var iterator = answers.makeAsyncIterator()
            let answer = try #require(await iterator.next())
            try await client.close()
            answer(.accepted(username: "ann"))
            try await rig.expect(200) { try await rig.answer(to: HTTPConnectionTests.health) }
        }
    }
}

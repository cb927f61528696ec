import BrokerCore
import BrokerServer
import NIOCore
import Synchronization
import TestSupport
import Testing

@Suite("X-Forwarded-For")
struct TrustedProxiesTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var trusted = ["127.0.0.1", "10.0.0.0/8"]
        var address: NetworkAddress? = "127.0.0.1"
        var fields: [String]
        /// Nil when it is the peer.
        var client: NetworkAddress?

        var testDescription: String { "\(fields) from \(address.map { "\($0)" } ?? "a Unix socket")" }
    }

    static let cases: [Case] = [
        Case(fields: [], client: nil),
        Case(fields: ["203.0.113.7"], client: "203.0.113.7"),
        // What a client writes itself stands on the left, and nobody reads it.
        Case(fields: ["1.1.1.1, 203.0.113.7"], client: "203.0.113.7"),
        Case(fields: ["1.1.1.1", "203.0.113.7"], client: "203.0.113.7"),
        Case(fields: ["203.0.113.7, 10.1.2.3"], client: "203.0.113.7"),
        Case(fields: ["203.0.113.7", "10.1.2.3,10.9.9.9"], client: "203.0.113.7"),
        // Everybody on the way is trusted: the first of them it is.
        Case(fields: ["10.1.2.3"], client: "10.1.2.3"),
        Case(fields: ["203.0.113.7:5544"], client: "203.0.113.7"),
        Case(fields: ["[2001:db8::7]:5544"], client: "2001:db8::7"),
        Case(fields: ["2001:DB8::7"], client: "2001:db8::7"),
        Case(fields: ["::ffff:203.0.113.7"], client: "203.0.113.7"),
        Case(fields: ["unknown"], client: nil),
        Case(fields: ["203.0.113.7, unknown"], client: nil),
        Case(fields: ["203.0.113.7, _hidden, 10.1.2.3"], client: "10.1.2.3"),
        Case(fields: [""], client: nil),
        Case(fields: ["203.0.113.7,"], client: nil),
        Case(fields: ["203.0.113.007"], client: nil),
        Case(fields: ["fe80::1%eth0"], client: nil),
        // Nobody whom we trust says it.
        Case(address: "192.168.1.1", fields: ["203.0.113.7"], client: nil),
        Case(trusted: [], fields: ["203.0.113.7"], client: nil),
        Case(address: nil, fields: ["203.0.113.7"], client: nil),
        Case(trusted: ["unix"], address: nil, fields: ["203.0.113.7"], client: "203.0.113.7"),
    ]

    @Test("the last address that is not a trusted proxy is the client", arguments: cases)
    func list(_ test: Case) throws {
        let proxies = try #require(TrustedProxies(test.trusted))
        let client = proxies.client(forwardedFor: test.fields, peer: "peer", address: test.address)
        #expect(client?.address == test.client)
        if let address = test.client { #expect(client?.peer == "\(address), forwarded by peer") }
    }

    @Test("what is no address, range or `unix` is refused", arguments: ["", "localhost", "10.0.0.0/33", "*", "unix:"])
    func broken(_ entry: String) {
        #expect(TrustedProxies([entry]) == nil)
    }

    @Test("the WebSocket behind a trusted proxy is its client's", arguments: [true, false])
    func upgrade(_ isTrusted: Bool) async throws {
        let seen = Mutex<[Arrival.Client?]>([])
        try await WebRig.run(
            { $0.trustedProxies = TrustedProxies([isTrusted ? "127.0.0.0/8" : "10.0.0.0/8"]) ?? .none },
            onOpen: { arrival in seen.withLock { $0.append(arrival.client) } }
        ) { rig in
            let client = try await rig.connect()
            let request = WebUpgradeTests.request(
                "GET /mqtt HTTP/1.1", ["Host": "127.0.0.1\r\nX-Forwarded-For: 203.0.113.7"])
            try await client.send(request)
            #expect(try await client.answer().status == 101)
            try await client.close()
        }
        #expect(seen.withLock { $0.map { $0?.address } } == [isTrusted ? "203.0.113.7" : nil])
    }

    @Test("whoever logs in over HTTP behind a trusted proxy has its own address")
    func http() async throws {
        let seen = Mutex<[NetworkAddress?]>([])
        let broker = NotingBroker(login: { login, _ in
            seen.withLock { $0.append(login.address) }
            return .accepted(username: nil)
        })
        try await WebRig.run({ $0.trustedProxies = TrustedProxies(["127.0.0.1"]) ?? .none }, broker: broker) { rig in
            for fields in ["", "X-Forwarded-For: 203.0.113.7\r\n", "X-Forwarded-For: 2001:db8::7\r\n"] {
                try await rig.expect(200) { try await rig.publish("a", fields: fields) }
            }
        }
        #expect(seen.withLock { $0 } == ["127.0.0.1", "203.0.113.7", "2001:db8::7"])
    }
}

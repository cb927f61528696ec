import BrokerCore
import BrokerServer
import Logging
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@Suite("The way in")
struct EntranceTests {
    private final class Opened {
        var arrivals: [Arrival] = []
    }

    private static let logger = Logger(label: "test")

    private func entrance(_ census: ConnectionCensus, _ change: (inout Entrance) -> Void = { _ in }) -> Entrance {
        var entrance = Entrance(timeout: .seconds(10), census: census, logger: Self.logger)
        change(&entrance)
        return entrance
    }

    /// A connection that was accepted; nil when it was not let in.
    private func comes(_ entrance: Entrance, from address: String, _ opened: Opened) throws -> EmbeddedChannel? {
        let channel = EmbeddedChannel()
        channel.remoteAddress = try SocketAddress(ipAddress: address, port: 5_000)
        do {
            try entrance.enter(channel) { _, arrival in opened.arrivals.append(arrival) }
        } catch {
            channel.close(promise: nil)
            channel.embeddedEventLoop.run()
            return nil
        }
        try channel.connect(to: SocketAddress(ipAddress: address, port: 5_000)).wait()
        channel.remoteAddress = try SocketAddress(ipAddress: address, port: 5_000)
        return channel
    }

    @Test("connections are counted all together, and forgotten when they close")
    func total() throws {
        let census = ConnectionCensus(totalMax: 2)
        let entrance = entrance(census)
        let opened = Opened()
        let first = try #require(try comes(entrance, from: "192.0.2.1", opened))
        #expect(try comes(entrance, from: "192.0.2.2", opened) != nil)
        #expect(try comes(entrance, from: "192.0.2.3", opened) == nil)
        _ = try first.finish()
        #expect(census.total == 1)
        #expect(try comes(entrance, from: "192.0.2.3", opened) != nil)
        #expect(opened.arrivals.count == 3)
    }

    @Test("connections of an address are counted, a /64 of IPv6 as one")
    func perAddress() throws {
        let census = ConnectionCensus(perAddressMax: 2)
        let entrance = entrance(census)
        let opened = Opened()
        for address in ["192.0.2.1", "2001:db8::1"] {
            let first = try #require(try comes(entrance, from: address, opened))
            let neighbour = address == "192.0.2.1" ? "::ffff:192.0.2.1" : "2001:db8::2"
            let second = try #require(try comes(entrance, from: neighbour, opened))
            #expect(try comes(entrance, from: address, opened) == nil)
            #expect(try comes(entrance, from: "2001:db8:1::1", opened) != nil)
            _ = try first.finish()
            #expect(try comes(entrance, from: address, opened) != nil)
            _ = try second.finish()
        }
        // Those who were not let in are not counted.
        #expect(census.total == 4 && census.addresses == 3)
    }

    @Test("loopback is counted only when the limit was said")
    func loopback() throws {
        let opened = Opened()
        let unsaid = entrance(ConnectionCensus())
        for _ in 0...ConnectionCensus.perAddressMaxByDefault {
            #expect(try comes(unsaid, from: "127.0.0.1", opened) != nil)
        }
        let said = entrance(ConnectionCensus(perAddressMax: 1))
        #expect(try comes(said, from: "127.0.0.1", opened) != nil)
        #expect(try comes(said, from: "127.0.0.1", opened) == nil)
        let elsewhere = entrance(ConnectionCensus())
        for _ in 0..<ConnectionCensus.perAddressMaxByDefault {
            #expect(try comes(elsewhere, from: "192.0.2.1", opened) != nil)
        }
        #expect(try comes(elsewhere, from: "192.0.2.1", opened) == nil)
    }

    @Test("a door may be tighter than the node")
    func tighter() throws {
        let census = ConnectionCensus(perAddressMax: 10)
        let entrance = entrance(census) { $0.perAddressMax = 1 }
        let opened = Opened()
        #expect(try comes(entrance, from: "192.0.2.1", opened) != nil)
        #expect(try comes(entrance, from: "192.0.2.1", opened) == nil)
    }

    @Test("who does not come from an allowed address stays outside")
    func allowed() throws {
        let census = ConnectionCensus()
        let entrance = entrance(census) { $0.allowed = [AddressRange("192.0.2.0/24")].compactMap(\.self) }
        let opened = Opened()
        #expect(try comes(entrance, from: "192.0.2.1", opened) != nil)
        #expect(try comes(entrance, from: "::ffff:192.0.2.2", opened) != nil)
        #expect(try comes(entrance, from: "198.51.100.1", opened) == nil)
        #expect(census.total == 2)
    }

    @Test("behind the PROXY header the client is whom it names, for the count, the list and the log")
    func proxied() throws {
        let census = ConnectionCensus(perAddressMax: 1)
        let entrance = entrance(census) {
            $0.proxyProtocol = .v1
            $0.allowed = [AddressRange("203.0.113.0/24")].compactMap(\.self)
        }
        let opened = Opened()
        func comes(_ line: String) throws -> EmbeddedChannel {
            let channel = try #require(try self.comes(entrance, from: "192.0.2.1", opened))
            try channel.writeInbound(ByteBuffer(string: line))
            channel.embeddedEventLoop.run()
            return channel
        }
        let first = try comes("PROXY TCP4 203.0.113.7 198.51.100.1 5544 443\r\nrest")
        #expect(try first.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "rest"))
        let client = try #require(opened.arrivals.first?.client)
        #expect(client.address == "203.0.113.7")
        #expect(client.peer.hasPrefix("203.0.113.7:5544, proxied by "))
        #expect(!(try comes("PROXY TCP4 203.0.113.7 198.51.100.1 5545 443\r\n").isActive))
        #expect(try comes("PROXY TCP4 203.0.113.8 198.51.100.1 5545 443\r\n").isActive)
        #expect(!(try comes("PROXY TCP4 198.51.100.9 198.51.100.1 5545 443\r\n").isActive))
        // It speaks for itself, and is not on the list.
        #expect(!(try comes("PROXY UNKNOWN\r\n").isActive))
        #expect(!(try comes("\u{10}\u{0C}").isActive))
        #expect(opened.arrivals.count == 2)
        _ = try first.finish()
        #expect(try comes("PROXY TCP4 203.0.113.7 198.51.100.1 5545 443\r\n").isActive)
    }

    @Test("a proxy that names its clients in HTTP is not counted for them")
    func httpProxy() throws {
        let census = ConnectionCensus(perAddressMax: 1)
        let entrance = entrance(census) { $0.proxies = TrustedProxies(["192.0.2.1"]) ?? .none }
        let opened = Opened()
        let channels = try (0..<3).compactMap { _ in try comes(entrance, from: "192.0.2.1", opened) }
        #expect(channels.count == 3)
        var arrival = Arrival(at: channels[0].embeddedEventLoop.now)
        arrival.client = Arrival.Client(peer: "203.0.113.7", address: "203.0.113.7")
        try entrance.check(arrival, on: channels[0])
        #expect(throws: ConnectionCensus.Refusal.fullForAddress(1)) { try entrance.check(arrival, on: channels[1]) }
    }

    @Test("only the proxies that are named may speak for others")
    func proxies() throws {
        let entrance = entrance(ConnectionCensus()) {
            $0.proxyProtocol = .any
            $0.proxies = TrustedProxies(["192.0.2.1"]) ?? .none
        }
        let opened = Opened()
        #expect(try comes(entrance, from: "192.0.2.2", opened) == nil)
        #expect(try comes(entrance, from: "192.0.2.1", opened) != nil)
    }

    @Test("a header that does not come, or drips, ends with the time from accept to CONNECT", arguments: [false, true])
    func silence(_ drips: Bool) throws {
        let opened = Opened()
        let entrance = entrance(ConnectionCensus()) { $0.proxyProtocol = .v1 }
        let channel = try #require(try comes(entrance, from: "192.0.2.1", opened))
        for byte in "PROXY UNK".utf8 {
            if drips { try channel.writeInbound(ByteBuffer(bytes: [byte])) }
            channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        }
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive && opened.arrivals.isEmpty)
    }

    @Test("a header byte by byte is one header, and the time began at the accept")
    func bytewise() throws {
        let opened = Opened()
        let entrance = entrance(ConnectionCensus()) { $0.proxyProtocol = .v1 }
        let channel = try #require(try comes(entrance, from: "192.0.2.1", opened))
        let start = channel.embeddedEventLoop.now
        channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        for byte in Array("PROXY UNKNOWN\r\n".utf8) + [1, 2] { try channel.writeInbound(ByteBuffer(bytes: [byte])) }
        #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: [1]))
        #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: [2]))
        #expect(opened.arrivals.map(\.at) == [start])
        channel.embeddedEventLoop.advanceTime(by: .hours(1))
        #expect(channel.isActive)
    }

    struct First: Sendable {
        var bytes: [UInt8]
        var what: FirstBytes?
    }

    static let firsts: [First] = [
        First(bytes: [], what: nil),
        First(bytes: [0x10], what: .mqtt),
        First(bytes: [0x16], what: nil),
        First(bytes: [0x16, 0x03], what: .tls),
        First(bytes: [0x16, 0x02], what: .unknown),
        First(bytes: Array("G".utf8), what: .http),
        First(bytes: Array("OPTIONS".utf8), what: .http),
        First(bytes: Array("get".utf8), what: .unknown),
        First(bytes: [0x11], what: .unknown),
        First(bytes: [0x30], what: .unknown),
        First(bytes: [0x00], what: .unknown),
        First(bytes: [0x80, 0x2E, 0x01], what: .unknown),
    ]

    @Test("the first bytes say what is spoken", arguments: firsts)
    func recognised(_ test: First) {
        #expect(FirstBytes.recognise(ByteBuffer(bytes: test.bytes)) == test.what)
    }
}

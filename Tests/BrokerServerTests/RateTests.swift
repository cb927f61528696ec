import BrokerCore
import BrokerServer
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite("Rates")
struct RateTests {
    private static func instant(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test(
        "over a long time a bucket lets through what it leaks, whatever the portions", arguments: [1, 10, 500, 5_000])
    func longTime(_ portion: Int) {
        var bucket = LeakyBucket(perSecond: 1_000, capacity: 1_000, now: Self.instant(0))
        var nanoseconds: UInt64 = 0
        var poured = 0
        while nanoseconds < 60_000_000_000 {
            let now = Instant(nanoseconds: nanoseconds)
            bucket.pour(portion, now: now)
            poured += portion
            let (seconds, attoseconds) = bucket.wait(now: now).components
            nanoseconds += UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000 + 1
        }
        // A minute, and the second that may come at once.
        #expect(abs(poured - 61_000) <= max(2 * portion, 100), "\(poured)")
    }

    @Test("a bucket that was left alone is empty, not more than that")
    func empty() {
        var bucket = LeakyBucket(perSecond: 100, capacity: 100, now: Self.instant(0))
        bucket.pour(150, now: Self.instant(0))
        #expect(bucket.wait(now: Self.instant(0)) == .milliseconds(500))
        #expect(bucket.wait(now: Self.instant(600)) == .zero)
        bucket.pour(100, now: Self.instant(60_000))
        #expect(bucket.wait(now: Self.instant(60_000)) == .zero)
        bucket.pour(10, now: Self.instant(60_000))
        #expect(bucket.wait(now: Self.instant(60_000)) == .milliseconds(100))
        // A clock that goes backwards adds nothing.
        #expect(bucket.wait(now: Self.instant(1)) == .milliseconds(100))
    }

    @Test("the slower of bytes and messages counts, and nothing is measured without a limit")
    func throttle() throws {
        #expect(Throttle(RateLimit(), now: Self.instant(0)) == nil)
        var rate = RateLimit()
        rate.bytesPerSecond = 1_000
        rate.messagesPerSecond = 10
        var throttle = try #require(Throttle(rate, now: Self.instant(0)))
        for _ in 0..<20 { throttle.receivedMessage(now: Self.instant(0)) }
        throttle.received(bytes: 1_500, now: Self.instant(0))
        #expect(throttle.pause(now: Self.instant(0)) == .seconds(1))
        #expect(throttle.pause(now: Self.instant(1_000)) == .zero)
    }

    @Test("sizes and counts per second", arguments: [("100KiB/s", 102_400), ("2MB/s", 2_000_000), ("1B/s", 1)])
    func bytes(_ text: String, _ bytes: Int) {
        #expect(RateText.bytes(in: text) == bytes)
    }

    @Test("what is no rate", arguments: ["100KiB", "100/m", "/s", "-1/s", "1.5/s", " 1/s", "1 /s", "100KiB/s/s"])
    func noRate(_ text: String) {
        #expect(RateText.bytes(in: text) == nil && RateText.count(in: text) == nil)
    }

    @Test("who comes too fast waits outside, and nobody is sent away")
    func accept() async throws {
        let arrivals = Mutex<[NIODeadline]>([])
        var entrance = Entrance(timeout: .seconds(10), logger: Logger(label: "test"))
        entrance.connectsPerSecond = 10
        let listener = try await ListenerSocket.bind(
            BindAddress(host: "127.0.0.1", port: 0),
            group: MultiThreadedEventLoopGroup.singleton,
            entrance: entrance,
            hasStages: false
        ) { channel, arrival in
            arrivals.withLock { $0.append(arrival.at) }
            channel.writeAndFlush(ByteBuffer(string: "in"), promise: nil)
        }.get()
        let port = try #require(listener.localAddress?.port)
        var clients: [WireClient] = []
        for _ in 0..<12 { clients.append(try await WireClient.connect(port: port)) }
        for client in clients { try await client.expect(Array("in".utf8)) }
        let times = arrivals.withLock { $0 }.sorted()
        #expect(times.count == 12)
        // One read accepts up to four; the others come at ten a second.
        if let first = times.first, let last = times.last { #expect(last - first >= .milliseconds(600)) }
        for client in clients { try await client.close() }
        try await listener.close()
    }
}

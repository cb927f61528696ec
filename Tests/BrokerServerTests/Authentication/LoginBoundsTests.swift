import BrokerCore
import BrokerServer
import TestSupport
import Testing

@Suite("What keeps logins within bounds")
struct LoginBoundsTests {
    private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9) + 1_000_000_000_000) }

    @Test("whoever brings much waits behind himself and not before others")
    func fairness() {
        var queue = FairQueue<String, Int>(countMax: 10, countPerKeyMax: 5)
        for number in 0..<5 {
            let isIn = queue.append(number, of: "flood")
            #expect(isIn)
        }
        let results = [queue.append(5, of: "flood"), queue.append(10, of: "ann"), queue.append(20, of: "bob")]
        #expect(results == [false, true, true])
        #expect(queue.count == 7)
        var order: [Int] = []
        while let next = queue.popFirst() { order.append(next) }
        #expect(order == [0, 10, 20, 1, 2, 3, 4])
        #expect(queue.count == 0)
        let isInAgain = queue.append(1, of: "flood")
        #expect(isInAgain)
    }

    @Test("all keys together are bounded too")
    func queueBound() {
        var queue = FairQueue<Int, Int>(countMax: 3, countPerKeyMax: 2)
        var results: [Bool] = []
        for number in 0..<5 { results.append(queue.append(number, of: number)) }
        #expect(results == [true, true, true, false, false])
    }

    @Test("a table forgets the oldest half, and remembers what is used")
    func recentTable() {
        var table = RecentTable<Int, Int>(countMax: 100)
        for number in 0..<10_000 {
            table[number] = number
            table[-1] = number
            #expect(table.count <= 200)
        }
        #expect(table[-1] == 9_999 && table[9_999] == 9_999)
        #expect(table[0] == nil)
        table[-1] = nil
        #expect(table[-1] == nil)
        table.removeAll()
        #expect(table.count == 0)
    }

    @Test("the first failures are free, then the pause doubles up to four seconds")
    func pauses() {
        var failed = FailedLogins()
        let pauses = (0..<9).map { failed.failed(address: "192.0.2.1", user: "ann", now: at(Double($0))).pause }
        #expect(
            pauses == [
                .zero, .zero, .milliseconds(250), .milliseconds(500), .seconds(1), .seconds(2), .seconds(4),
                .seconds(4), .seconds(4),
            ]
        )
    }

    @Test("users are counted from everywhere, addresses for everybody, and the larger count decides")
    func keys() {
        var failed = FailedLogins()
        for number in 0..<4 { _ = failed.failed(address: NetworkAddress("192.0.2.\(number)"), user: "ann", now: at(0)) }
        let counts = ["ann", "bob", "zoe"].map { failed.failed(address: "192.0.2.9", user: $0, now: at(0)).failures }
        #expect(counts == [5, 2, 3])
        let nobody = failed.failed(address: nil, user: nil, now: at(0))
        #expect(nobody.failures == 0 && nobody.pause == .zero)
    }

    @Test("a success and a quiet quarter of an hour clear the count")
    func reset() {
        var failed = FailedLogins()
        for _ in 0..<5 { _ = failed.failed(address: "::1", user: "ann", now: at(0)) }
        failed.succeeded(address: "::1", user: "ann")
        let counts = [1, 2, 902].map { failed.failed(address: "::1", user: "ann", now: at($0)).failures }
        #expect(counts == [1, 2, 1])
    }

    @Test("one customer's IPv6 addresses are one")
    func networks() {
        var failed = FailedLogins()
        let counts = ["2001:db8:1:2::9", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::9"].map {
            failed.failed(address: $0, user: nil, now: at(0)).failures
        }
        #expect(counts == [1, 2, 1])
    }

    @Test("long names are counted without being kept")
    func longNames() {
        var failed = FailedLogins()
        let name = String(repeating: "x", count: 60_000)
        let counts = ["a", "b"].map { failed.failed(address: nil, user: name + $0, now: at(0)).failures }
        #expect(counts == [1, 2])
    }

    @Test("fifty thousand strangers do not fill the memory")
    func bounded() {
        var failed = FailedLogins()
        for number in 0..<50_000 {
            _ = failed.failed(
                address: NetworkAddress("10.1.\(number >> 8).\(number & 255)"), user: "u\(number)", now: at(0))
        }
        #expect(failed.count <= 4 * FailedLogins.countMax)
    }

    @Test("a login is remembered for a minute, by a fingerprint that says nothing about it")
    func verified() {
        var logins = VerifiedLogins()
        let login = logins.fingerprint(user: "ab", password: Array("c".utf8))
        logins.insert(login, now: at(0))
        #expect(logins.contains(login, now: at(59)))
        #expect(!logins.contains(login, now: at(60)))
        #expect(!logins.contains(logins.fingerprint(user: "a", password: Array("bc".utf8)), now: at(1)))
        #expect(login.count == 32)
        #expect(VerifiedLogins().fingerprint(user: "ab", password: Array("c".utf8)) != login)
        for number in 0..<30_000 { logins.insert([UInt8(number & 255), UInt8(number >> 8)], now: at(1)) }
        #expect(logins.count <= 2 * VerifiedLogins.countMax)
        logins.removeAll()
        #expect(!logins.contains(login, now: at(2)))
    }

    @Test("ten lines in ten seconds, and the number of the others")
    func rate() {
        var rate = LogRate()
        var shown = 0
        for _ in 0..<25 where rate.permits(at(0)) { shown += 1 }
        #expect(shown == 10)
        let hidden = [at(5), at(10), at(11)].map { rate.takeHidden($0) }
        #expect(hidden == [0, 15, 0])
        let isShownAgain = rate.permits(at(11))
        #expect(isShownAgain)
    }
}

import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Synchronization
import Testing

@Suite("Bounds and refusals")
struct BoundsTests {
    private let payload = String(repeating: "x", count: 100)

    @Test(
        "a session drops its oldest messages when its bytes are too many",
        arguments: [
            FullQueuePolicy.dropOldest, .dropQoS0ThenOldest,
        ])
    func bytesOfSession(policy: FullQueuePolicy) throws {
        // Topic and payload count: 106 bytes a message.
        let fixture = try SpoolFixture {
            $0.session = QueueBounds(messagesMax: 100, bytesMax: 3 * 106, whenFull: policy)
        }
        try fixture.commit(.session(alice))
        for _ in 0..<5 { try fixture.commit(.message(payload, to: alice)) }
        #expect(try fixture.positions(alice).map(\.number) == [3, 4, 5])
        #expect(fixture.spool.drops(of: alice) == [.oldest: 2])
        try fixture.commit(.acknowledged(alice, Position(3)), .message(to: alice), .message(to: alice))
        #expect(try fixture.positions(alice).map(\.number) == [4, 5, 6, 7])
        try fixture.reopen()
        try fixture.commit(.message(payload, to: alice))
        #expect(try fixture.positions(alice).map(\.number) == [5, 6, 7, 8], "bytes are known after a restart")
    }

    @Test("who answers 65,536 messages behind one that it does not answer has lost that one, whatever its QoS")
    func holes() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .session(bob))
        try fixture.commit(.message(payload, to: alice), .message(payload, to: bob))
        try fixture.commit(.outboundPublish(bob, packetID: 1, Position(2)))
        for batch in UInt64(0)..<64 {
            let positions = (3...1_026).map { Position(batch * 1_024 + $0) }
            try fixture.commit(positions.map { _ in .message(payload, to: alice, bob) })
            try fixture.commit(positions.flatMap { [.acknowledged(alice, $0), .acknowledged(bob, $0)] })
            let isLast = batch == 63
            #expect(fixture.spool.depth(of: alice) == (isLast ? 0 : 1))
            #expect(fixture.spool.depth(of: bob) == (isLast ? 0 : 1))
        }
        #expect(fixture.spool.drops(of: alice) == [.holes: 1])
        #expect(fixture.spool.drops(of: bob) == [.holes: 1])
        // It answers after all: that is in the books, and the exchange comes to its end.
        try fixture.commit(.outboundRelease(bob, packetID: 1, Position(2)), .outboundComplete(bob, packetID: 1))
        #expect(fixture.spool.drops(of: bob) == [:])
    }

    @Test("a queue that drops its oldest all around an open exchange of QoS 2 does not remember them for ever")
    func dropsAroundAnExchange() throws {
        let fixture = try SpoolFixture {
            $0.session = QueueBounds(messagesMax: 2, bytesMax: 1 << 30, whenFull: .dropOldest)
        }
        try fixture.commit(.session(alice), .message(to: alice), .outboundPublish(alice, packetID: 1, Position(1)))
        for batch in 0..<65 {
            try fixture.commit((0..<1_024).map { _ in .message(to: alice) })
            #expect(try fixture.positions(alice).first?.number == 1 || batch == 64)
        }
        #expect(try fixture.positions(alice).map(\.number) == [66_560, 66_561])
        #expect(fixture.spool.drops(of: alice) == [.oldest: 66_558, .holes: 1])
    }

    @Test("drop-newest keeps what it has; others get the message all the same")
    func dropNewest() throws {
        let fixture = try SpoolFixture {
            $0.session = QueueBounds(messagesMax: 2, bytesMax: 1 << 20, whenFull: .dropNewest)
        }
        try fixture.commit(.session(alice), .link(bob))
        try fixture.commit((1...5).map { .message("\($0)", to: alice, bob) })
        #expect(try fixture.positions(alice).map(\.number) == [1, 2])
        #expect(try fixture.positions(bob).count == 5)
        #expect(fixture.tidings.now.dropped == [alice: 3])
        #expect(fixture.spool.drops(of: alice) == [.newest: 3])
        #expect(fixture.spool.tally.dropped.byReason == [.newest: 3])
        try fixture.commit(.acknowledged(alice, Position(1)), .message(to: alice))
        #expect(try fixture.positions(alice).map(\.number) == [2, 6])
        try fixture.reopen()
        #expect(try fixture.positions(alice).map(\.number) == [2, 6])
    }

    @Test("a queue that rejects keeps what was appended, says that it is full, and later that it is not")
    func reject() throws {
        let fixture = try SpoolFixture {
            $0.links["hub"] = QueueBounds(messagesMax: 16, bytesMax: 1 << 20, whenFull: .reject)
        }
        try fixture.commit(.link(alice))
        try fixture.commit((1...15).map { _ in .message(to: alice) })
        #expect(fixture.tidings.now.full == [:])
        try fixture.commit((1...5).map { _ in .message(to: alice) })
        #expect(fixture.tidings.now.full == [alice: [true]])
        #expect(try fixture.positions(alice).count == 20, "what was appended is stored")
        try fixture.commit((1...5).map { .acknowledged(alice, Position($0)) })
        #expect(fixture.tidings.now.full == [alice: [true]], "15 of 16 is not yet room enough")
        try fixture.commit(.acknowledged(alice, Position(6)))
        #expect(fixture.tidings.now.full == [alice: [true, false]])
        #expect(fixture.spool.tally.dropped.total == 0)
    }

    @Test("bytes fill a queue that rejects, and who attaches later is told")
    func rejectBytes() throws {
        let fixture = try SpoolFixture {
            $0.link = QueueBounds(messagesMax: 100, bytesMax: 300, whenFull: .reject)
        }
        try fixture.commit(.link(alice), .message(payload, to: alice), .message(payload, to: alice))
        #expect(fixture.tidings.now.full == [:])
        try fixture.commit(.message(payload, to: alice))
        #expect(fixture.tidings.now.full == [alice: [true]])
        try fixture.reopen()
        #expect(fixture.tidings.now.full == [alice: [true]], "known before the first turn")
        try fixture.commit(.receiverGone(alice))
        #expect(fixture.tidings.now.full == [alice: [true, false]])
    }

    @Test("a spool that is full refuses, and takes messages again when room was made")
    func spoolFull() throws {
        let fixture = try SpoolFixture { $0.bytesMax = 1 << 20 }
        try fixture.commit(.link(alice))
        let large = String(repeating: "x", count: 100_000)
        for _ in 0..<8 { try fixture.commit(.message(large, to: alice)) }
        #expect(fixture.tidings.now.refusals.isEmpty)
        for _ in 0..<4 { try fixture.commit(.message(large, to: alice)) }
        try fixture.tidings.wait("the refusal") { $0.refusals == [.full] }
        #expect(fixture.spool.refusal == .full)
        #expect(try fixture.positions(alice).count == 12, "what was appended is stored")
        try fixture.reopen()
        #expect(fixture.tidings.now.refusals == [.full], "known before the first turn")
        try fixture.commit((1...6).map { .acknowledged(alice, Position($0)) })
        try fixture.tidings.wait("room") { $0.refusals == [.full, nil] }
        #expect(fixture.spool.refusal == nil)
    }

    @Test("a disk with too little left refuses, and takes messages again by itself")
    func diskFull() throws {
        let free = Mutex(1_000_000)
        let fixture = try SpoolFixture {
            $0.freeDiskMin = 160_000
            $0.hooks.freeDisk = { free.withLock { $0 } }
        }
        #expect(fixture.spool.refusal == nil)
        // A page or two of the file may be free, and count.
        free.withLock { $0 = 140_000 }
        try fixture.reopen()
        #expect(fixture.tidings.now.refusals == [.diskFull])
        try fixture.commit(.session(alice), .message(to: alice))
        free.withLock { $0 = 170_000 }
        try fixture.tidings.wait("room, without a commit") { $0.refusals == [.diskFull, nil] }
    }

    @Test("what is free in the file counts as free disk, for half of what must be left")
    func freePages() throws {
        let free = Mutex(1_000_000)
        let fixture = try SpoolFixture {
            $0.freeDiskMin = 160_000
            $0.hooks.freeDisk = { free.withLock { $0 } }
        }
        let large = String(repeating: "x", count: 100_000)
        try fixture.commit(.link(alice))
        try fixture.commit((1...5).map { _ in .message(large, to: alice) })
        free.withLock { $0 = 100_000 }
        try fixture.reopen()
        #expect(fixture.spool.refusal == .diskFull)
        // Half a megabyte becomes free in the file, too little to be given back.
        try fixture.commit((1...5).map { .acknowledged(alice, Position($0)) })
        try fixture.tidings.wait("room") { $0.refusals == [.diskFull, nil] }
        free.withLock { $0 = 79_999 }
        try fixture.reopen()
        #expect(fixture.spool.refusal == .diskFull)
    }

    @Test("the free bytes of the file system are looked at")
    func realDisk() throws {
        let fixture = try SpoolFixture { $0.freeDiskMin = 1 << 60 }
        #expect(fixture.spool.refusal == .diskFull)
        try fixture.reopen { $0.freeDiskMin = 1 }
        #expect(fixture.spool.refusal == nil)
    }

    @Test("while commits fail the spool refuses as sick, and no longer when one succeeds")
    func sick() throws {
        let isSick = Mutex(false)
        let fixture = try SpoolFixture {
            $0.hooks.willCommit = { (_) throws(SpoolError) in
                if isSick.withLock({ $0 }) { throw .io(code: 10, context: "writing") }
            }
        }
        try fixture.commit(.session(alice))
        isSick.withLock { $0 = true }
        let ticket = fixture.append(.message(to: alice)).ticket
        try fixture.tidings.wait("the refusal") { $0.refusals == [.sick] }
        isSick.withLock { $0 = false }
        try fixture.tidings.wait("recovery") { $0.refusals == [.sick, nil] && $0.committed == ticket }
        #expect(fixture.spool.state == .ok)
    }
}

import BrokerCore
import MQTTCodec
import NIOCore
import Spool
import Synchronization
import TestSupport
import Testing

/// Thousands of random records with random reopenings: the spool must hold what the naive one holds.
@Suite("Random operations")
struct RandomOperationsTests {
    @Test("the spool holds what a naive one holds, over reopenings and kills", arguments: 1...8 as ClosedRange<UInt64>)
    func agrees(seed: UInt64) throws { try play(seed, SpoolHooks()) }

    @Test("the same on a disk where commits fail, before they take effect or after", arguments: [101, 102, 103])
    func agreesOnSickDisk(seed: UInt64) throws {
        let struck = Mutex<Set<UInt64>>([])
        let strike: @Sendable (UInt64, UInt64) throws(SpoolError) -> Void = { (batch, every) throws(SpoolError) in
            guard batch % every == 0, struck.withLock({ $0.insert(batch).inserted }) else { return }
            throw SpoolError.io(code: 10, context: "committing")
        }
        var hooks = SpoolHooks()
        hooks.willCommit = { (batch) throws(SpoolError) in try strike(batch, 23) }
        hooks.didCommit = { (batch) throws(SpoolError) in try strike(batch, 29) }
        try play(seed, hooks)
        #expect(struck.withLock { $0.count } > 1)
    }

    @Test("the same with queues that are long enough to be packed in memory", arguments: [201, 202, 203])
    func agreesOnLongQueues(seed: UInt64) throws {
        try play(seed, SpoolHooks(), turns: 100, queueMax: 500...2_500, burstMax: 1_200)
    }

    /// - Parameter burstMax: as many messages may come one after the other for the same receivers.
    private func play(
        _ seed: UInt64,
        _ hooks: SpoolHooks,
        turns: Int = 400,
        queueMax: ClosedRange<Int> = 2...20,
        burstMax: Int = 1
    ) throws {
        var dice = SeededGenerator(seed: seed)
        let maximum = Int.random(in: queueMax, using: &dice)
        var naive = NaiveSpool(queueMessagesMax: maximum)
        var fixture = try SpoolFixture(queueMessagesMax: maximum, hooks: hooks)
        var dropped: [ReceiverID: Int] = [:]
        for turn in 0..<turns {
            let records = (0..<Int.random(in: 0...12, using: &dice)).flatMap { _ in
                let record = record(naive, &dice)
                guard case .message = record, Int.random(in: 0..<20, using: &dice) == 0 else { return [record] }
                return Array(repeating: record, count: Int.random(in: 1...burstMax, using: &dice))
            }
            let before = naive.lastPosition
            for record in records { naive.apply(record) }
            let position = fixture.append(records).position
            if naive.lastPosition > before { try #require(position == Position(before + 1)) }
            switch Int.random(in: 0..<100, using: &dice) {
            case 0..<4:
                fixture.spool.close()
                dropped.merge(fixture.tidings.now.dropped, uniquingKeysWith: +)
                try fixture.reopen()
                try compare(fixture, naive, "seed \(seed) turn \(turn), reopened")
            case 4..<6:
                try fixture.commit()
                dropped.merge(fixture.tidings.now.dropped, uniquingKeysWith: +)
                fixture = try fixture.copyAsIfKilled()
                try #require(fixture.contents.lastPosition.number == naive.lastPosition + 1 << 20)
                naive.lastPosition = fixture.contents.lastPosition.number
                try compare(fixture, naive, "seed \(seed) turn \(turn), killed")
            case 6..<20:
                try compareQueues(fixture, naive, "seed \(seed) turn \(turn)")
            default:
                break
            }
        }
        fixture.spool.close()
        dropped.merge(fixture.tidings.now.dropped, uniquingKeysWith: +)
        #expect(dropped == naive.dropped)
        #expect(fixture.spool.tally.isClosed, "seed \(seed)")
    }

    private func record(_ naive: NaiveSpool, _ dice: inout SeededGenerator) -> SpoolRecord {
        let known = naive.receivers.keys.sorted()
        let receiver = known.randomElement(using: &dice) ?? alice
        let packetID = UInt16.random(in: 1...6, using: &dice)
        let topic = MQTTString("t/\(Int.random(in: 0..<5, using: &dice))")
        let queue = naive.receivers[receiver]?.queue ?? []
        let position =
            queue.prefix(Bool.random(using: &dice) ? 2 : 20).randomElement(using: &dice)?.position
            ?? Position(UInt64.random(in: 0...naive.lastPosition, using: &dice))
        switch Int.random(in: 0..<100, using: &dice) {
        case 0..<6 where known.count < 6 || dice.next() % 8 == 0:
            let isLink = Int.random(in: 0..<3, using: &dice) == 0
            let isKnown = Bool.random(using: &dice) && !known.isEmpty
            let number = isKnown ? receiver : ReceiverID(naive.nextReceiver)
            let kind: ReceiverRecord.Kind =
                isKnown
                ? (naive.receivers[number]?.record.kind ?? .link(name: "hub"))
                : isLink ? .link(name: "hub") : .session(clientID: topic)
            return .receiver(
                ReceiverRecord(
                    receiver: number,
                    kind: kind,
                    expiryInterval: UInt32.random(in: 0...UInt32.max, using: &dice),
                    disconnectedAt: Bool.random(using: &dice) ? nil : Timestamp(microseconds: dice.next() >> 1)
                )
            )
        case 6..<7: return .receiverGone(receiver)
        case 7..<40:
            let deliveries = known.filter { _ in Bool.random(using: &dice) }.map { receiver in
                Delivery(
                    receiver: receiver,
                    qos: Bool.random(using: &dice) ? .atLeastOnce : .exactlyOnce,
                    isRetained: Bool.random(using: &dice),
                    subscriptionIdentifiers: Bool.random(using: &dice)
                        ? [] : [UInt32.random(in: 1...268_435_455, using: &dice)]
                )
            }
            return .message(.sample("\(dice.next())", topic: topic), deliveries: deliveries)
        case 40..<67: return .acknowledged(receiver, position)
        case 67..<70:
            let positions = queue.map(\.position).filter { _ in Int.random(in: 0..<3, using: &dice) == 0 }
            return .removed(receiver, positions, Bool.random(using: &dice) ? .dropped : .exported)
        case 70..<75: return .outboundPublish(receiver, packetID: packetID, position)
        case 75..<80: return .outboundRelease(receiver, packetID: packetID, position)
        case 80..<84: return .outboundComplete(receiver, packetID: packetID)
        case 84..<87: return .inboundPublish(receiver, packetID: packetID)
        case 87..<90: return .inboundRelease(receiver, packetID: packetID)
        case 90..<93:
            return .subscribe(
                receiver,
                SubscriptionRecord(
                    filter: topic,
                    options: SubscriptionOptions(maximumQoS: .exactlyOnce, noLocal: Bool.random(using: &dice)),
                    identifier: Bool.random(using: &dice) ? nil : UInt32(packetID)
                )
            )
        case 93..<95: return .unsubscribe(receiver, filter: topic)
        case 95: return .will(WillRecord(clientID: topic, message: .sample("\(dice.next())"), delay: UInt32(packetID)))
        case 96: return .willGone(clientID: topic)
        case 97: return .retain(.sample("\(dice.next())", topic: topic))
        default: return .retainGone(topic: topic)
        }
    }

    private func compare(_ fixture: SpoolFixture, _ naive: NaiveSpool, _ comment: Comment) throws {
        let contents = fixture.contents
        #expect(contents.receivers.map(\.record.receiver) == naive.receivers.keys.sorted(), comment)
        for found in contents.receivers {
            let wanted = try #require(naive.receivers[found.record.receiver])
            #expect(found.record == wanted.record, comment)
            #expect(found.depth == wanted.queue.count, comment)
            #expect(Set(found.subscriptions) == Set(wanted.subscriptions.values), comment)
            #expect(Set(found.inbound) == wanted.inbound, comment)
            #expect(Set(found.outbound) == Set(wanted.outbound.values), comment)
        }
        let retained = contents.retained.map { ($0.topic, $0.payload) }
        #expect(Dictionary(uniqueKeysWithValues: retained) == naive.retained, comment)
        let wills = contents.wills.map { ($0.clientID, $0.message.payload) }
        #expect(Dictionary(uniqueKeysWithValues: wills) == naive.wills, comment)
        #expect(contents.lastPosition.number == naive.lastPosition, comment)
        #expect(contents.nextReceiver.number == naive.nextReceiver, comment)
        try compareQueues(fixture, naive, comment)
    }

    private func compareQueues(_ fixture: SpoolFixture, _ naive: NaiveSpool, _ comment: Comment) throws {
        for (receiver, wanted) in naive.receivers.sorted(by: { $0.key < $1.key }) {
            let page = try fixture.page(receiver)
            let found = page.entries.map {
                NaiveSpool.Entry(position: $0.position, payload: $0.message.payload, delivery: $0.delivery)
            }
            try #require(found == wanted.queue, comment)
            #expect(page.end.number == naive.lastPosition, comment)
            #expect(fixture.spool.depth(of: receiver) == wanted.queue.count, comment)
            let read = try fixture.readQueue(receiver, partMax: max(3, wanted.queue.count / 4))
            #expect(read == wanted.queue.map(\.position), comment)
        }
        #expect(fixture.spool.state == .ok, comment)
    }
}

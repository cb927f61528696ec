import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// What operators do with the queue of a link that runs.
@Suite("Handling the queue of a link")
struct LinkQueueTests {
    private let broker: ShardHarness
    private let link: Link
    private let client: ScriptedPeer

    init() throws {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        link.inflightMax = 2
        var settings = BrokerSettings()
        settings.links = [link]
        // Pages of three, so that some are on their way while others are taken out.
        settings.pageMessagesMax = 3
        broker = ShardHarness(settings)
        self.link = try #require(broker.shard.links.first)
        client = broker.connects("a")
    }

    private func publish(_ numbers: ClosedRange<Int>, _ qos: QoS = .atLeastOnce) {
        for number in numbers { client.sends(.publish(topic: "out/x", payload: "\(number)", qos: qos, id: 1)) }
    }

    private func connect(isSessionPresent: Bool = false) throws -> ScriptedPeer {
        let last = broker.dials.popLast()
        let dial = try #require(last)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: isSessionPresent)))
        return upstream
    }

    /// Answers until nothing more comes.
    private func drain(_ upstream: ScriptedPeer) -> [String] {
        var all: [String] = []
        while true {
            let messages = upstream.takesMessages()
            guard !messages.isEmpty else { return all }
            for message in messages {
                all.append(message.text)
                upstream.sends(.pubAck(id: message.packetID))
            }
        }
    }

    private func hold() -> Set<Position> {
        var inFlight: Set<Position> = []
        broker.perform { shard, _ in inFlight = shard.holdQueue(of: link, errand: 1) }
        return inFlight
    }

    private func letGo() { broker.perform { shard, now in shard.releaseQueue(of: link, now: now) } }

    private func remove(_ positions: [UInt64], _ file: CarriedFile? = nil) {
        broker.perform { shard, _ in
            shard.remove(positions.map { Position($0) }, from: link, .dropped, to: file, errand: 2)
        }
    }

    @Test("what is taken out is never sent, be it loaded already or on its way")
    func pages() throws {
        publish(1...10)
        let upstream = try connect()
        // 1 and 2 are in flight, 3 is loaded, the rest is in the spool.
        let first = upstream.takesMessages()
        #expect(first.map(\.text) == ["1", "2"])
        #expect(hold() == [Position(1), Position(2)])
        remove([3, 5, 9])
        letGo()
        #expect(broker.spool.removed == [.dropped: 3])
        for message in first { upstream.sends(.pubAck(id: message.packetID)) }
        #expect(drain(upstream) == ["4", "6", "7", "8", "10"])
        #expect(broker.spool.rows == 0)
    }

    @Test("a page that was asked for before and comes after holds nothing of it")
    func stalePage() throws {
        publish(1...8)
        broker.commitsAtOnce = false
        let upstream = try connect()
        // The page is asked for, and not there yet.
        #expect(upstream.takesMessages().isEmpty)
        _ = hold()
        remove([1, 2, 3])
        letGo()
        broker.settle()
        broker.commitsAtOnce = true
        #expect(drain(upstream) == ["4", "5", "6", "7", "8"])
        #expect(broker.spool.rows == 0)
    }

    @Test("what is in flight stays, whoever wants it out", arguments: [QoS.atLeastOnce, .exactlyOnce])
    func inFlight(_ qos: QoS) throws {
        client.sends(.publish(topic: "out/x", payload: "1", qos: qos, id: 1))
        let upstream = try connect()
        let id = try #require(upstream.takesMessages().first).packetID
        #expect(hold() == [Position(1)])
        remove([1])
        letGo()
        #expect(broker.spool.removed == [:])
        #expect(broker.spool.rows == 1)
        upstream.sends(qos == .atLeastOnce ? .pubAck(id: id) : .pubRec(id: id))
        #expect(broker.spool.rows == 0)
    }

    @Test("while a queue is held nothing leaves, and what came meanwhile leaves behind the rest")
    func held() throws {
        let upstream = try connect()
        _ = upstream.takes()
        _ = hold()
        publish(1...3)
        upstream.becomesWritable(true)
        #expect(upstream.takesMessages().isEmpty)
        letGo()
        #expect(drain(upstream) == ["1", "2", "3"])
    }

    @Test("a link that is paused stays so when its queue is let go")
    func paused() throws {
        let upstream = try connect()
        broker.perform { shard, now in _ = shard.act(.pause, onLink: "hub", now: now) }
        publish(1...2)
        _ = hold()
        letGo()
        #expect(upstream.takesMessages().isEmpty)
        broker.perform { shard, now in _ = shard.act(.resume, onLink: "hub", now: now) }
        #expect(drain(upstream) == ["1", "2"])
    }

    @Test("a link that connects while its queue is held sends nothing")
    func connectsWhileHeld() throws {
        publish(1...2)
        _ = hold()
        let upstream = try connect()
        #expect(upstream.takesMessages().isEmpty)
        letGo()
        #expect(drain(upstream) == ["1", "2"])
    }

    // MARK: - Files

    private static let file = CarriedFile(
        id: MessageID(high: 1, low: 2), way: .into, link: "hub", parts: 1, messages: 1, offset: 600)

    private func takeIn(_ qos: QoS) {
        broker.perform { shard, _ in
            guard let link = shard.links.first else { return }
            shard.enqueue([Self.carried("far", qos)], for: link, from: Self.file, errand: 3)
        }
    }

    private static func carried(_ text: String, _ qos: QoS) -> CarriedMessage {
        CarriedMessage(
            message: Message(
                id: MessageID(high: 77, low: 88 << 16),
                topic: "out/far",
                payload: ByteBuffer(string: text),
                qos: qos,
                isRetained: false,
                properties: Properties(),
                expiry: nil
            ),
            delivery: Delivery(receiver: ReceiverID(99), qos: qos)
        )
    }

    @Test("what a file holds leaves after its commit, in its order", arguments: [QoS.atLeastOnce, .exactlyOnce])
    func takenIn(_ qos: QoS) throws {
        let upstream = try connect()
        broker.commitsAtOnce = false
        takeIn(qos)
        #expect(upstream.takesMessages().isEmpty)
        #expect(broker.errands.isEmpty)
        broker.settle()
        #expect(broker.errands == [3])
        #expect(upstream.takesMessages().map(\.text) == ["far"])
        #expect(broker.spool.carried == [Self.file])
    }

    @Test("a crash before the commit leaves nothing of a part behind, and one after it all of it")
    func crashes() {
        broker.commitsAtOnce = false
        takeIn(.exactlyOnce)
        broker.restarts()
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.carried.isEmpty)
        takeIn(.exactlyOnce)
        broker.commit()
        broker.restarts()
        #expect(broker.spool.rows == 1)
        #expect(broker.spool.carried == [Self.file])
    }

    // MARK: - What the upstream refused

    private static func refusing(_ max: Int) throws -> ShardHarness {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        link.keptRefusedMax = max
        var settings = BrokerSettings()
        settings.links = [link]
        return ShardHarness(settings)
    }

    private static func connect(_ broker: ShardHarness, packetBytesMax: UInt32? = nil) throws -> ScriptedPeer {
        let last = broker.dials.popLast()
        let dial = try #require(last)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        var ack = ConnAck(reason: .success)
        ack.properties.maximumPacketSize = packetBytesMax
        upstream.sends(.connAck(ack))
        return upstream
    }

    private static func replay(_ broker: ShardHarness, _ message: CarriedMessage, at position: Position) {
        broker.perform { shard, _ in
            guard let link = shard.links.first, let shelf = shard.link(named: RefusedShelf.name(of: "hub")) else {
                Issue.record("no shelf")
                return
            }
            shard.move([(position, message)], from: shelf, to: link, errand: 5)
        }
    }

    @Test(
        "what the upstream refuses is put aside, stays there over a restart, and is sent again when it is moved back",
        arguments: [QoS.atLeastOnce, .exactlyOnce]
    )
    func refused(_ qos: QoS) throws {
        let broker = try Self.refusing(10)
        let client = broker.connects("a")
        let upstream = try Self.connect(broker)
        client.sends(.publish(topic: "out/x", payload: "bad", qos: qos, id: 1))
        let id = try #require(upstream.takesMessages().first).packetID
        upstream.sends(
            qos == .atLeastOnce ? .pubAck(id: id, reason: .notAuthorized) : .pubRec(id: id, reason: .notAuthorized))
        #expect(broker.spool.givenUp == [.rejected])
        #expect(broker.spool.rows == 1)
        broker.restarts()
        #expect(broker.notices.allSatisfy { $0.level != .warning })
        let again = try Self.connect(broker)
        #expect(again.takesMessages().isEmpty)
        Self.replay(broker, Self.carried("bad", qos), at: Position(2))
        #expect(again.takesMessages().map(\.text) == ["bad"])
        #expect(broker.spool.removed == [.replayed: 1])
        #expect(broker.errands == [5])
    }

    @Test("what does not fit into the packets of the upstream is put aside, and what fits goes on")
    func tooLarge() throws {
        let broker = try Self.refusing(10)
        let client = broker.connects("a")
        let upstream = try Self.connect(broker, packetBytesMax: 100)
        client.sends(.publish(topic: "out/x", payload: String(repeating: "x", count: 200), qos: .atLeastOnce, id: 1))
        client.sends(.publish(topic: "out/x", payload: "small", qos: .atLeastOnce, id: 2))
        let messages = upstream.takesMessages()
        #expect(messages.map(\.text) == ["small"])
        for message in messages { upstream.sends(.pubAck(id: message.packetID)) }
        #expect(broker.spool.givenUp == [.tooLarge])
        #expect(broker.spool.rows == 1)
    }

    @Test("nothing is put aside where nobody asked for it")
    func notKept() throws {
        let broker = try Self.refusing(0)
        let client = broker.connects("a")
        let upstream = try Self.connect(broker)
        client.sends(.publish(topic: "out/x", payload: "bad", qos: .atLeastOnce, id: 1))
        let id = try #require(upstream.takesMessages().first).packetID
        upstream.sends(.pubAck(id: id, reason: .notAuthorized))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.receivers == 1)
    }

    @Test("an errand is done when it is on disk, whatever the mode of the spool")
    func withoutDurability() {
        var settings = broker.settings
        settings.durability = .off
        let broker = ShardHarness(settings, commitsAtOnce: false)
        broker.perform { shard, _ in
            guard let link = shard.links.first else { return }
            _ = shard.holdQueue(of: link, errand: 9)
        }
        #expect(broker.errands.isEmpty)
        broker.settle()
        #expect(broker.errands == [9])
    }
}

import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Durable receivers: live and behind", .serialized)
struct DurableTests {
    @Test("what was in flight comes again with DUP and the same identifier [5:MQTT-4.4.0-1]", arguments: bothVersions)
    func resend(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let a = broker.connects("a", version)
        let b = broker.connectsDurably("b", version)
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = b.takes()
        a.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        let first = b.receivesMessage("t", "1", .atLeastOnce)
        a.sends(.publish(topic: "t", payload: "2", qos: .exactlyOnce, id: 2))
        let second = b.receivesMessage("t", "2", .exactlyOnce)
        b.vanishes()
        let back = broker.connectsDurably("b", version)
        #expect(
            back.takes().dropFirst() == [
                .publish(topic: "t", payload: "1", qos: .atLeastOnce, id: first, isDuplicate: true),
                .publish(topic: "t", payload: "2", qos: .exactlyOnce, id: second, isDuplicate: true),
            ]
        )
        back.sends(.pubAck(id: first), .pubRec(id: second))
        back.receives(.pubRel(id: second))
        back.vanishes()
        let again = broker.connectsDurably("b", version)
        #expect(again.takes().dropFirst() == [.pubRel(id: second)])
        again.sends(.pubComp(id: second))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
        again.vanishes()
        #expect(broker.connectsDurably("b", version).takes().count == 1)
    }

    @Test("a restart keeps QoS 2 identifiers")
    func restart() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let b = broker.connectsDurably("b")
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = b.takes()
        a.sends(.publish(topic: "t", payload: "1", qos: .exactlyOnce, id: 1))
        let first = b.receivesMessage("t", "1", .exactlyOnce)
        a.sends(.publish(topic: "t", payload: "2", qos: .exactlyOnce, id: 2))
        let second = b.receivesMessage("t", "2", .exactlyOnce)
        b.sends(.pubRec(id: first))
        b.receives(.pubRel(id: first))
        broker.restarts()
        let back = broker.connectsDurably("b")
        #expect(
            back.takes().dropFirst() == [
                .pubRel(id: first),
                .publish(topic: "t", payload: "2", qos: .exactlyOnce, id: second, isDuplicate: true),
            ]
        )
    }

    @Test("an early acknowledgement of what was not sent again does not make a second message")
    func earlyAcknowledgement() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let b = broker.connectsDurably("b")
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = b.takes()
        a.sends(.publish(topic: "t", payload: "1", qos: .exactlyOnce, id: 1))
        let id = b.receivesMessage("t", "1", .exactlyOnce)
        b.vanishes()
        broker.commitsAtOnce = false
        let back = broker.connectsDurably("b")
        back.sends(.pubRec(id: id))
        broker.settle()
        let publishes = back.takesMessages()
        #expect(publishes.allSatisfy { $0.packetID == id && $0.isDuplicate })
        back.sends(.pubRec(id: id))
        broker.settle()
        back.receives(.pubRel(id: id))
        back.sends(.pubComp(id: id))
        broker.settle()
        #expect(broker.spool.rows == 0)
    }

    @Test("a return with a smaller Receive Maximum sends no more than that [5:MQTT-3.3.4-9]")
    func smallerWindow() {
        let broker = ShardHarness()
        let a = broker.connects("a", .v3_1_1)
        let b = broker.connectsDurably("b")
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        for number in 1...20 {
            let qos: QoS = number % 2 == 0 ? .exactlyOnce : .atLeastOnce
            a.sends(.publish(topic: "t", payload: "\(number)", qos: qos, id: UInt16(number)))
        }
        #expect(b.takesMessages().count == 20)
        b.vanishes()
        let back = broker.connectsDurably("b", receiveMaximum: 2)
        var seen: [String] = []
        while true {
            let packets = back.takes()
            let messages = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
            #expect(messages.count <= 2)
            if packets.isEmpty { break }
            seen += messages.map(\.text)
            for packet in packets {
                switch packet {
                case .publish(let publish) where publish.qos == .exactlyOnce:
                    back.sends(.pubRec(id: publish.packetID))
                case .publish(let publish): back.sends(.pubAck(id: publish.packetID))
                case .pubRel(let ack): back.sends(.pubComp(id: ack.packetID))
                default: break
                }
            }
        }
        #expect(seen == (1...20).map(String.init))
        #expect(broker.spool.rows == 0)
    }

    @Test(
        "each message comes once and in order, whatever is acknowledged when",
        arguments: 0..<40
    )
    func randomAcknowledgements(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        var settings = BrokerSettings()
        settings.pageMessagesMax = Int.random(in: 1...5, using: &random)
        settings.inflightMax = Int.random(in: 1...6, using: &random)
        let broker = ShardHarness(settings, commitsAtOnce: false)
        let qos: QoS = seed % 2 == 0 ? .atLeastOnce : .exactlyOnce
        let publisher = broker.connects("publisher", .v3_1_1)
        var client = AutomaticClient(broker.connectsDurably("receiver"))
        broker.settle()
        client.peer.sends(.subscribe(id: 1, filters: "t", qos: qos))
        broker.settle()
        var published = 0
        for step in 0..<400 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<3:
                published += 1
                let id = UInt16(published % 500 + 1)
                publisher.sends(.publish(topic: "t", payload: "\(published)", qos: qos, id: id))
                if qos == .exactlyOnce { publisher.sends(.pubRel(id: id)) }
            case 3..<6: broker.commit(batches: Int.random(in: 1...3, using: &random))
            case 6..<9: client.acts(atMost: Int.random(in: 1...4, using: &random))
            default:
                if step % 5 == 0 {
                    client.peer.vanishes()
                    client.returns(over: broker.connectsDurably("receiver"))
                } else {
                    client.peer.becomesWritable(Bool.random(using: &random))
                }
            }
        }
        client.peer.becomesWritable(true)
        for _ in 0..<5000 where client.seen.count < published || broker.spool.rows + broker.spool.identifiers > 0 {
            broker.settle()
            client.acts(atMost: 100)
        }
        #expect(client.peer.failure == nil)
        // A lost PUBACK costs one resend of QoS 1; first arrivals are in order.
        #expect(client.firstArrivals == (1...published).map(String.init))
        if qos == .exactlyOnce { #expect(client.seen.count == published) }
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("many messages for one who is away come page by page, and the receiver is live again")
    func backlog() {
        var settings = BrokerSettings()
        settings.pageMessagesMax = 7
        let broker = ShardHarness(settings)
        broker.connectsDurably("b").sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        let a = broker.connects("a")
        broker.connectsDurably("b").vanishes()
        for number in 1...100 {
            a.sends(.publish(topic: "t", payload: "\(number)", qos: .atLeastOnce, id: UInt16(number)))
        }
        var client = AutomaticClient(broker.connectsDurably("b"))
        for _ in 0..<200 { client.acts(atMost: 3) }
        #expect(client.seen == (1...100).map(String.init))
        #expect(client.peer.connection.session?.flow == .live)
        #expect(broker.spool.rows == 0)
    }
}

/// A client that acknowledges when it is told to, remembers what it saw, and keeps its state of QoS 2 over connections.
struct AutomaticClient {
    private(set) var peer: ScriptedPeer
    /// Messages that the application got.
    private(set) var seen: [String] = []
    private var todo: [Packet] = []
    private var unreleased: Set<UInt16> = []

    init(_ peer: ScriptedPeer) { self.peer = peer }

    var firstArrivals: [String] {
        var known: Set<String> = []
        return seen.filter { known.insert($0).inserted }
    }

    mutating func returns(over peer: ScriptedPeer) {
        self.peer = peer
        todo.removeAll()
    }

    /// Its session is a new one.
    mutating func forgets() { unreleased.removeAll() }

    /// Reads what has come and answers the oldest packets.
    mutating func acts(atMost count: Int) {
        for packet in peer.takes() {
            if case .publish(let publish) = packet {
                // A message of QoS 2 counts when its identifier is new.
                if publish.qos < .exactlyOnce || unreleased.insert(publish.packetID).inserted {
                    seen.append(publish.text)
                }
            }
            todo.append(packet)
        }
        for packet in todo.prefix(count) {
            switch packet {
            case .publish(let publish) where publish.qos == .exactlyOnce: peer.sends(.pubRec(id: publish.packetID))
            case .publish(let publish) where publish.qos == .atLeastOnce: peer.sends(.pubAck(id: publish.packetID))
            case .pubRel(let ack):
                unreleased.remove(ack.packetID)
                peer.sends(.pubComp(id: ack.packetID))
            default: break
            }
        }
        todo.removeFirst(min(count, todo.count))
    }
}

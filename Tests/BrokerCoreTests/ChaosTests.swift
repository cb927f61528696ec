import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Durable publishers and subscribers, commits that come when they like, cuts, slow readers and crashes, from a seed.
/// QoS 2 arrives exactly once, QoS 1 at least once, each publisher's messages in order, and nothing is left behind.
@Suite("Chaos from a seed")
struct ChaosTests {
    /// Keeps up to five exchanges open and repeats them after a cut (§4.4).
    private struct Publisher {
        var peer: ScriptedPeer
        let name: String
        let qos: QoS
        var number = 0
        /// Open exchanges in the order of their first sending; released when PUBREC came.
        var open: [(id: UInt16, text: String, isReleased: Bool)] = []

        mutating func publishes() {
            guard open.count < 5 else { return }
            number += 1
            let id = UInt16(number % 1000 + 1)
            let text = "\(name)-\(number)"
            open.append((id, text, false))
            peer.sends(.publish(topic: "t", payload: text, qos: qos, id: id))
        }

        mutating func reads() {
            for packet in peer.takes() {
                switch packet {
                case .pubRec(let ack):
                    guard let index = open.firstIndex(where: { $0.id == ack.packetID }) else { break }
                    open[index].isReleased = true
                    peer.sends(.pubRel(id: ack.packetID))
                case .pubAck(let ack), .pubComp(let ack): open.removeAll { $0.id == ack.packetID }
                default: break
                }
            }
        }

        mutating func returns(over peer: ScriptedPeer) {
            self.peer = peer
            for exchange in open {
                if exchange.isReleased {
                    peer.sends(.pubRel(id: exchange.id))
                } else {
                    let again = Packet.publish(
                        topic: "t", payload: exchange.text, qos: qos, id: exchange.id, isDuplicate: true)
                    peer.sends(again)
                }
            }
        }
    }

    @Test("nothing is lost and QoS 2 comes once", arguments: 0..<200)
    func chaos(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        var settings = BrokerSettings()
        settings.pageMessagesMax = Int.random(in: 1...6, using: &random)
        settings.inflightMax = Int.random(in: 1...8, using: &random)
        settings.heldAnswersMax = Int.random(in: 2...20, using: &random)
        let broker = ShardHarness(settings)
        let qos: QoS = seed % 3 == 0 ? .atLeastOnce : .exactlyOnce
        let version: ProtocolVersion = seed % 2 == 0 ? .v5 : .v3_1_1
        func name(_ kind: String, _ index: Int) -> MQTTString { MQTTString("\(kind)\(index)") }
        var publishers = (0..<3).map {
            Publisher(peer: broker.connectsDurably(name("p", $0), version), name: "p\($0)", qos: qos)
        }
        var subscribers = (0..<3).map { AutomaticClient(broker.connectsDurably(name("s", $0), version)) }
        for subscriber in subscribers { subscriber.peer.sends(.subscribe(id: 1, filters: "t", qos: qos)) }
        broker.commitsAtOnce = false

        func everyoneReturns() {
            for index in publishers.indices where publishers[index].peer.isClosed {
                publishers[index].reads()
                publishers[index].returns(over: broker.connectsDurably(name("p", index), version))
            }
            for index in subscribers.indices where subscribers[index].peer.isClosed {
                subscribers[index].acts(atMost: 1000)
                subscribers[index].returns(over: broker.connectsDurably(name("s", index), version))
            }
        }
        for _ in 0..<600 {
            let index = Int.random(in: 0..<3, using: &random)
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<30: publishers[index].publishes()
            case 30..<50: publishers[index].reads()
            case 50..<70: subscribers[index].acts(atMost: Int.random(in: 1...5, using: &random))
            case 70..<90: broker.commit(batches: Int.random(in: 1...4, using: &random))
            case 90..<92: publishers[index].peer.vanishes()
            case 92..<94: subscribers[index].peer.vanishes()
            case 94..<97: subscribers[index].peer.becomesWritable(Bool.random(using: &random))
            case 97: broker.crashesAfter = broker.steps + Int.random(in: 1...6, using: &random)
            default: everyoneReturns()
            }
            if broker.hasCrashed {
                for index in publishers.indices { publishers[index].reads() }
                for index in subscribers.indices { subscribers[index].acts(atMost: 1000) }
                broker.restarts()
                everyoneReturns()
            }
        }
        broker.crashesAfter = .max
        for subscriber in subscribers where !subscriber.peer.isClosed { subscriber.peer.becomesWritable(true) }
        for _ in 0..<2000 {
            everyoneReturns()
            for index in publishers.indices { publishers[index].reads() }
            for index in subscribers.indices { subscribers[index].acts(atMost: 100) }
            if publishers.allSatisfy({ $0.open.isEmpty }), !broker.spool.hasPending, broker.spool.rows == 0,
                broker.spool.identifiers == 0
            {
                break
            }
            broker.settle()
        }
        #expect(publishers.map(\.open.count) == [0, 0, 0])
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0, "\(broker.spool.openExchanges)")
        for subscriber in subscribers {
            #expect(subscriber.peer.failure == nil)
            for publisher in publishers {
                let expected = publisher.number == 0 ? [] : (1...publisher.number).map { "\(publisher.name)-\($0)" }
                let all = subscriber.seen.filter { $0.hasPrefix("\(publisher.name)-") }
                if qos == .exactlyOnce {
                    #expect(all == expected)
                } else {
                    let firsts = subscriber.firstArrivals.filter { $0.hasPrefix("\(publisher.name)-") }
                    #expect(firsts == expected)
                }
            }
        }
    }
}

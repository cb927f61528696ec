import BrokerCore
import MQTTCodec
import TestSupport
import Testing

/// A durable publisher, a group of two, and the process dying after the n-th step of its runner, for every n.
@Suite("A crash at every step of a share group")
struct SharedCrashTests {
    /// A publisher that repeats what was not answered, as §4.4 wants it.
    private struct Publisher {
        var peer: ScriptedPeer
        let qos: QoS
        private var open: [UInt16: Bool] = [1: false, 2: false, 3: false]
        private var wasSent = false

        init(_ peer: ScriptedPeer, _ qos: QoS) {
            self.peer = peer
            self.qos = qos
        }

        var isDone: Bool { open.isEmpty }

        mutating func sends() {
            for (id, isReleased) in open.sorted(by: { $0.key < $1.key }) {
                if isReleased {
                    peer.sends(.pubRel(id: id))
                } else {
                    peer.sends(.publish(topic: "t", payload: "\(id)", qos: qos, id: id, isDuplicate: wasSent))
                }
            }
            wasSent = true
        }

        mutating func reads() {
            for packet in peer.takes() {
                switch packet {
                case .pubRec(let ack) where open[ack.packetID] == false:
                    open[ack.packetID] = true
                    peer.sends(.pubRel(id: ack.packetID))
                case .pubComp(let ack), .pubAck(let ack): open[ack.packetID] = nil
                default: break
                }
            }
        }
    }

    private struct Result {
        var seen: [String]
        var didCrash: Bool
        var rows: Int
        var identifiers: Int
    }

    /// - Parameter areDurable: whether the members' sessions outlive the crash; the first one's always does.
    private static func run(_ qos: QoS, areDurable: Bool, crashesAfter crash: Int) -> Result {
        let broker = ShardHarness()
        func comes(_ index: Int) -> ScriptedPeer {
            let name = MQTTString("m\(index)")
            return areDurable || index == 0 ? broker.connectsDurably(name) : broker.connects(name)
        }
        var members = (0..<2).map { AutomaticClient(comes($0)) }
        for member in members { member.peer.sends(.subscribe(id: 1, filters: "$share/g/t", qos: qos)) }
        var publisher = Publisher(broker.connectsDurably("publisher"), qos)
        for index in members.indices { members[index].acts(atMost: 10) }
        _ = publisher.peer.takes()
        broker.commitsAtOnce = false
        broker.crashesAfter = broker.steps + crash

        func converse() {
            for _ in 0..<30 where !broker.hasCrashed {
                publisher.reads()
                for index in members.indices { members[index].acts(atMost: 10) }
                broker.commit()
            }
        }
        publisher.sends()
        converse()
        let didCrash = broker.hasCrashed
        if didCrash {
            // What reached them before the end is read by them after it.
            publisher.reads()
            for index in members.indices { members[index].acts(atMost: 10) }
            broker.restarts()
            for index in members.indices {
                members[index].returns(over: comes(index))
                if !areDurable, index > 0 {
                    // A new session: it knows nothing of the identifiers of the old one.
                    members[index].forgets()
                    members[index].peer.sends(.subscribe(id: 1, filters: "$share/g/t", qos: qos))
                }
            }
            publisher.peer = broker.connectsDurably("publisher")
            broker.settle()
            publisher.sends()
            converse()
        }
        broker.settle()
        #expect(publisher.isDone)
        return Result(
            seen: members.flatMap(\.seen).sorted(),
            didCrash: didCrash,
            rows: broker.spool.rows,
            identifiers: broker.spool.identifiers
        )
    }

    @Test("QoS 2 comes to one member exactly once")
    func exactlyOnce() {
        for step in 1...150 {
            let result = Self.run(.exactlyOnce, areDurable: true, crashesAfter: step)
            #expect(result.seen == ["1", "2", "3"], "crash after step \(step)")
            #expect(result.rows == 0 && result.identifiers == 0, "crash after step \(step)")
            if !result.didCrash {
                #expect(step > 10)
                return
            }
        }
        Issue.record("the conversation has more steps than were tried")
    }

    @Test("QoS 2 comes at most once when a crash ends the session of a member [5:MQTT-4.8.2-5]")
    func atMostOnce() {
        for step in 1...150 {
            let result = Self.run(.exactlyOnce, areDurable: false, crashesAfter: step)
            #expect(Set(result.seen).count == result.seen.count, "crash after step \(step): \(result.seen)")
            // The last one had one of three.
            #expect(result.seen.count >= 2, "crash after step \(step): \(result.seen)")
            #expect(result.rows == 0 && result.identifiers == 0, "crash after step \(step)")
            if !result.didCrash {
                #expect(result.seen == ["1", "2", "3"])
                return
            }
        }
        Issue.record("the conversation has more steps than were tried")
    }

    @Test("QoS 1 comes at least once", arguments: [false, true])
    func atLeastOnce(_ areDurable: Bool) {
        for step in 1...150 {
            let result = Self.run(.atLeastOnce, areDurable: areDurable, crashesAfter: step)
            #expect(Set(result.seen) == ["1", "2", "3"], "crash after step \(step): \(result.seen)")
            #expect(result.rows == 0, "crash after step \(step)")
            if !result.didCrash { return }
        }
    }
}

import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// QoS 2 from a durable publisher to a durable subscriber, with the process dying after the n-th step of its runner, for
/// every n: the message arrives exactly once.
@Suite("A crash at every step")
struct CrashTests {
    /// A publisher that repeats what was not answered, as §4.4 wants it.
    private struct Publisher {
        enum State { case publish, release, done }
        var peer: ScriptedPeer
        var state = State.publish
        var qos: QoS
        var wasSent = false

        mutating func sends() {
            switch state {
            case .publish:
                peer.sends(.publish(topic: "t", payload: "x", qos: qos, id: 1, isDuplicate: wasSent))
                wasSent = true
            case .release: peer.sends(.pubRel(id: 1))
            case .done: break
            }
        }

        mutating func reads() {
            for packet in peer.takes() {
                switch packet {
                case .pubRec where state == .publish:
                    state = .release
                    sends()
                case .pubComp where state == .release: state = .done
                case .pubAck where state == .publish: state = .done
                default: break
                }
            }
        }
    }

    private static func run(_ qos: QoS, crashesAfter crash: Int) -> (
        seen: [String], didCrash: Bool, rows: Int, left: Int
    ) {
        let broker = ShardHarness()
        var subscriber = AutomaticClient(broker.connectsDurably("subscriber"))
        subscriber.peer.sends(.subscribe(id: 1, filters: "t", qos: qos))
        var publisher = Publisher(peer: broker.connectsDurably("publisher"), qos: qos)
        subscriber.acts(atMost: 10)
        _ = publisher.peer.takes()
        broker.commitsAtOnce = false
        broker.crashesAfter = broker.steps + crash

        func converse(_ publisher: inout Publisher, _ subscriber: inout AutomaticClient) {
            for _ in 0..<20 where !broker.hasCrashed {
                publisher.reads()
                subscriber.acts(atMost: 10)
                broker.commit()
            }
        }
        publisher.sends()
        converse(&publisher, &subscriber)
        let didCrash = broker.hasCrashed
        if didCrash {
            // What reached them before the end is read by them after it.
            publisher.reads()
            subscriber.acts(atMost: 10)
            broker.restarts()
            subscriber.returns(over: broker.connectsDurably("subscriber"))
            publisher.peer = broker.connectsDurably("publisher")
            broker.settle()
            publisher.sends()
            converse(&publisher, &subscriber)
        }
        broker.settle()
        #expect(publisher.state == .done)
        return (subscriber.seen, didCrash, broker.spool.rows, broker.spool.identifiers)
    }

    @Test("QoS 2 arrives exactly once")
    func exactlyOnce() {
        for step in 1...60 {
            let result = Self.run(.exactlyOnce, crashesAfter: step)
            #expect(result.seen == ["x"], "crash after step \(step)")
            #expect(result.rows == 0 && result.left == 0, "crash after step \(step)")
            if !result.didCrash {
                #expect(step > 10)
                return
            }
        }
        Issue.record("the conversation has more steps than were tried")
    }

    @Test("QoS 1 arrives at least once")
    func atLeastOnce() {
        for step in 1...60 {
            let result = Self.run(.atLeastOnce, crashesAfter: step)
            #expect(!result.seen.isEmpty, "crash after step \(step)")
            #expect(result.rows == 0, "crash after step \(step)")
            if !result.didCrash { return }
        }
    }
}

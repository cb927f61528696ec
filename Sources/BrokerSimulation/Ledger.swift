import BrokerCore
import MQTTCodec

/// The facts of a run, as an observer beside every client would write them down: what the checkers judge.
struct Ledger {
    struct Published {
        let publisher: Int
        let node: Int
        let topic: MQTTString
        let qos: QoS
        let isRetained: Bool
        var expires = false
        /// Takes the retained message of its topic away; it carries no number, so that nobody can say that it arrived.
        var isDeletion = false
        var isWill = false
        /// A will that its client's DISCONNECT or return took back: it must not be published any more.
        var isWithdrawn = false
        /// A node had no room for it. Whoever sent it, a link or a client that did not hear of the refusal, sends it
        /// again, behind others that were already on their way: it has lost its place among them.
        var wasRefused = false
        /// When its PUBLISH first left; nil while it waits at its publisher.
        var sentAt: UInt64?
        /// When the broker took responsibility: PUBACK, or PUBREC for QoS 2.
        var takenAt: UInt64?
    }

    /// What one client was subscribed to, and from when to when for certain.
    struct Subscribed {
        let client: Int
        let filter: TopicFilter
        let qos: QoS
        let from: UInt64
        /// When it was asked to end; nil when it lasted to the end of the run.
        var to: UInt64?
    }

    struct Arrival {
        let message: Int
        let client: Int
        let qos: QoS
        let isRetained: Bool
        let identifiers: [UInt32]
        let at: UInt64
    }

    var published: [Published] = []
    var subscribed: [Subscribed] = []
    /// In the order in which they arrived.
    var arrivals: [Arrival] = []
    /// When each client lost or left a connection last.
    var departures: [Int: UInt64] = [:]
    /// When a node took the connection of a client for lost, by the name of the client.
    var losses: [MQTTString: [UInt64]] = [:]

    mutating func publish(by client: SimulatedClient, topic: MQTTString, qos: QoS, isRetained: Bool) -> Int {
        published.append(
            Published(publisher: client.index, node: client.home, topic: topic, qos: qos, isRetained: isRetained)
        )
        return published.count - 1
    }

    /// A publisher of its own, numbered below the clients.
    mutating func publish(byGatewayOf node: Int, _ topic: MQTTString, _ qos: QoS, at now: UInt64) -> Int {
        published.append(
            Published(publisher: -1 - node, node: node, topic: topic, qos: qos, isRetained: false, sentAt: now)
        )
        return published.count - 1
    }

    mutating func subscribe(_ client: Int, _ filter: TopicFilter, _ qos: QoS, at now: UInt64) {
        endSubscription(client, filter, at: now)
        subscribed.append(Subscribed(client: client, filter: filter, qos: qos, from: now))
    }

    mutating func endSubscription(_ client: Int, _ filter: TopicFilter, at now: UInt64) {
        for index in subscribed.indices
        where subscribed[index].client == client && subscribed[index].filter == filter && subscribed[index].to == nil {
            subscribed[index].to = now
        }
    }

    /// The session ended, and with it whatever waited for it: nothing has to arrive any more.
    mutating func endSession(_ client: Int) { subscribed.removeAll { $0.client == client } }
}

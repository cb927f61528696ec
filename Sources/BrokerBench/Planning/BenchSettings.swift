package import BrokerServer
package import MQTTCodec

/// One run of the load generator, checked.
package struct BenchSettings: Sendable {
    package var scenario: BenchScenario
    /// Address, TLS, and the CONNECT that all clients share but for their ids.
    package var client: ClientSettings
    /// Hosts that clients connect to in turn; the first is that of `client`.
    package var hosts: [String] = []
    /// Clients, or pairs of them.
    package var count: Int
    /// The other side of fanin (subscribers) and fanout (publishers).
    package var others = 1
    /// Members of a group of chat.
    package var groupSize = 10
    /// Added to the number of each client.
    package var startNumber = 0
    package var prefix: String
    package var topic: BenchTopic
    package var qos = QoS.atMostOnce
    package var isRetained = false
    /// Bytes of a payload.
    package var size = 64
    /// Messages a second of all publishers together; nil: as fast as they are delivered.
    package var rate: Double?
    /// Messages of one publisher that not every subscriber has; only without a rate.
    package var window = 100
    /// Messages of one publisher that the broker has not acknowledged.
    package var inflight = 100
    /// Messages in all, over all publishers; nil: until the time is over.
    package var limit: Int?
    /// Name of the shared subscription of fanin's subscribers; nil: each hears all.
    package var shareName: String?
    /// Topics over which the connections of `idle` are spread.
    package var topics = 100
    /// Connections of `conn` that leave as soon as they are there, and come again.
    package var isChurning = false
    /// Connections a second; nil: `connectingMax` at a time, as fast as the broker answers.
    package var connectRate: Double?
    package var connectingMax = 100
    /// Addresses of this machine that take turns as the source of connections.
    package var sources: [String] = []
    package var threads = 1
    /// Nil: until it is interrupted.
    package var duration: Duration?
    package var warmUp = Duration.zero
    /// How long nothing may come before what is missing counts as lost.
    package var patience = Duration.seconds(3)
    /// Processes of the broker, whose CPU time is read.
    package var processes: [Int] = []
    /// Loss is reported and is no failure.
    package var allowsLoss = false

    /// Descriptors that the clients take, and what the process needs besides.
    var descriptors: Int {
        let clients =
            switch scenario {
            case .conn, .sub, .pub, .chat: count
            case .pair, .backlog: 2 * count
            case .fanin, .fanout: count + others
            case .idle: count + topics
            }
        return clients + 64
    }

    /// Seconds that the sessions of `backlog` outlive their connections.
    static let backlogExpirySeconds: UInt32 = 3600
}

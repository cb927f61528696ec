/// What `$SYS` and metrics tell of a node at one moment. All of it was counted or measured.
package struct SystemFigures: Sendable {
    package var version: String
    package var uptimeSeconds: UInt64
    package var wall: Timestamp
    /// Since the start.
    package var counters: Counters
    package var clientsConnected: Int
    /// The most that were connected at the same time since the start.
    package var clientsMaximum: Int
    /// Sessions that wait for their clients.
    package var clientsAway: Int
    package var subscriptions: Int
    package var sharedSubscriptions: Int
    /// Those of clients; the topics of the server itself are not among them.
    package var retained: Int
    /// Queues above their watermarks, and the spool as a whole.
    package var alarms: Int
    package var node: NodeFigures
    var load: LoadAverages

    /// Messages that a receiver did not get because a queue or a write buffer was full, or they waited for too long.
    var dropped: UInt64 { drops.forWantOfRoom }

    /// All messages that a receiver did not get, by reason.
    package var drops: DropCounts {
        var drops = counters.drops
        drops.add(node.drops)
        return drops
    }
}

/// What the parts of a node around its shard know, for `$SYS`.
package struct NodeFigures: Sendable {
    /// The product and its version, as "drawbridge version 1.2.3".
    package var version: String
    /// Messages that wait in the spool, each once however many receivers wait for it.
    package var storedMessages: Int
    /// Their topics, payloads and properties.
    package var storedBytes: Int
    /// Messages of the spool that a receiver did not get.
    package var drops: DropCounts

    package init(version: String, storedMessages: Int = 0, storedBytes: Int = 0, drops: DropCounts = DropCounts()) {
        self.version = version
        self.storedMessages = storedMessages
        self.storedBytes = storedBytes
        self.drops = drops
    }
}

/// The averages of mosquitto's `$SYS/broker/load`.
struct LoadAverages: Sendable {
    var packetsReceived = LoadAverage()
    var packetsSent = LoadAverage()
    var publishesReceived = LoadAverage()
    var publishesSent = LoadAverage()
    var publishesDropped = LoadAverage()
    var bytesReceived = LoadAverage()
    var bytesSent = LoadAverage()
    var opened = LoadAverage()
    var connects = LoadAverage()

    /// What the counters were when they were looked at last.
    private var before = Counters()
    private var droppedBefore: UInt64 = 0

    mutating func add(_ counters: Counters, dropped: UInt64, in seconds: Double) {
        packetsReceived.add(counters.packetsReceived &- before.packetsReceived, in: seconds)
        packetsSent.add(counters.packetsSent &- before.packetsSent, in: seconds)
        publishesReceived.add(counters.received &- before.received, in: seconds)
        publishesSent.add(counters.sent &- before.sent, in: seconds)
        publishesDropped.add(dropped &- droppedBefore, in: seconds)
        bytesReceived.add(counters.bytesReceived &- before.bytesReceived, in: seconds)
        bytesSent.add(counters.bytesSent &- before.bytesSent, in: seconds)
        opened.add(counters.opened &- before.opened, in: seconds)
        connects.add(counters.connects &- before.connects, in: seconds)
        before = counters
        droppedBefore = dropped
    }
}

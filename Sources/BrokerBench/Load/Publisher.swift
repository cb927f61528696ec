import BrokerServer
import MQTTCodec
import NIOCore

/// One publisher: what it has sent, what has become of it, and whether it may send more.
///
/// Without a rate a publisher is bounded by what was delivered (`window`), so that the figure is what a broker delivers
/// and not what it buffers. With one it sends what is due, bounded only by what the protocol allows.
final class Publisher {
    /// Its number in the run.
    let number: Int
    /// Subscribers that each message goes to; 0 when they are somewhere else.
    private let copies: UInt64
    private let version: ProtocolVersion
    private let qos: QoS
    private let isRetained: Bool
    private let size: Int
    private let window: UInt64
    private var inflightMax: Int
    private let limit: UInt64?
    private var stamp: MessageStamp
    private var encoder: PublishEncoder
    private var flight: PacketFlight?

    private(set) var sent: UInt64 = 0
    private(set) var acknowledged: UInt64 = 0
    /// Copies that have come, or that nobody waits for any more.
    private(set) var delivered: UInt64 = 0
    /// In the list of those whose window has room again.
    var isQueued = false
    /// For the search for publishers that stand still.
    var lastDelivered: UInt64 = 0
    var stillSince: UInt64 = 0

    /// - Parameter limit: messages of this publisher; nil for no end.
    init(_ role: BenchPlan.Role, topic: MQTTString, copies: Int, limit: UInt64?, run: UInt32, _ settings: BenchSettings)
    {
        self.number = role.publisher
        self.copies = UInt64(copies)
        self.version = settings.client.connect.version
        self.qos = settings.qos
        self.isRetained = settings.isRetained
        self.size = settings.size
        self.window = UInt64(settings.window)
        self.inflightMax = settings.inflight
        self.limit = limit
        self.stamp = MessageStamp(run: run, publisher: UInt32(role.publisher), sequence: 0, intended: 0)
        self.encoder = PublishEncoder(topic: topic, payload: stamp.payload(size: settings.size))
        if settings.qos != .atMostOnce {
            flight = PacketFlight(inflightMax: settings.inflight, isExactlyOnce: settings.qos == .exactlyOnce)
        }
    }

    /// [5:MQTT-3.3.4-9] the broker's Receive Maximum.
    func limitInflight(_ maximum: Int) { inflightMax = min(inflightMax, max(1, maximum)) }

    /// Messages that may be sent now without regard to a rate.
    ///
    /// - Parameter refill: fewer than that are not worth a write yet.
    func room(refill: UInt64) -> UInt64 {
        let free = min(byWindow, byAcknowledgements)
        return free >= refill ? min(free, byLimit) : 0
    }

    private var byWindow: UInt64 {
        guard copies > 0 else { return .max }
        let outstanding = sent * copies - min(delivered, sent * copies)
        let used = (outstanding + copies - 1) / copies
        return window - min(window, used)
    }

    private var byAcknowledgements: UInt64 { flight.map { UInt64(max(0, inflightMax - $0.count)) } ?? .max }
    private var byLimit: UInt64 { limit.map { $0 - min($0, sent) } ?? .max }

    /// Messages that are due and may be sent.
    func due(_ schedule: SendSchedule, now: UInt64) -> UInt64 {
        let wanted = schedule.count(publisher: number, now: now)
        return min(wanted - min(wanted, sent), byAcknowledgements, byLimit)
    }

    var isDone: Bool { limit.map { sent >= $0 } ?? false }
    var isSettled: Bool { flight.map { $0.count == 0 } ?? true }
    var hasFullWindow: Bool { copies > 0 && delivered < sent * copies && min(byWindow, byAcknowledgements) == 0 }

    /// Appends one PUBLISH.
    ///
    /// - Parameter intended: when it should have been sent.
    /// - Returns: false when no packet identifier is free; nothing was appended then.
    /// - Complexity: O(packet), no allocation beyond growth of `out`.
    func publish(into out: inout ByteBuffer, intended: UInt64) -> Bool {
        var id: UInt16 = 0
        if flight != nil {
            guard let free = flight?.take(intended: intended) else { return false }
            id = free
        }
        guard encoder.append(to: &out, version: version, qos: qos, packetID: id, isRetained: isRetained) else {
            return false
        }
        stamp.sequence = sent
        stamp.intended = intended
        stamp.rewrite(in: &out, end: out.writerIndex, size: size)
        sent += 1
        return true
    }

    /// PUBACK, PUBCOMP, or a PUBREC that refuses.
    ///
    /// - Returns: when the message should have been sent; nil when nothing like that is on its way.
    func settled(_ id: UInt16, isRefusal: Bool = false) -> UInt64? {
        guard let intended = flight?.settle(id, isRefusal: isRefusal) else { return nil }
        acknowledged += 1
        return intended
    }

    /// PUBREC: whether PUBREL is the answer.
    func released(_ id: UInt16) -> Bool { flight?.release(id) ?? false }

    func delivered(_ count: UInt64) { delivered += count }

    /// Whoever waits for copies that do not come waits no longer; they count as lost all the same.
    func writeOff() { delivered = max(delivered, sent * copies) }
}

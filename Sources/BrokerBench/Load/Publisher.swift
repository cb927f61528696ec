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
    private let size: Int
    private let window: UInt64
    private var inflightMax: Int
    private let limit: UInt64?
    // What is touched for every message is touched on one loop, and never while it is touched already.
    @exclusivity(unchecked) private var stamp: MessageStamp
    /// One PUBLISH of this publisher as it stands on the wire; they differ in their stamps and identifiers only.
    private let template: ByteBuffer
    /// Where the identifier stands in it; nil for QoS 0.
    private let idOffset: Int?
    @exclusivity(unchecked) private var flight: PacketFlight?

    @exclusivity(unchecked) private(set) var sent: UInt64 = 0
    @exclusivity(unchecked) private(set) var acknowledged: UInt64 = 0
    /// Copies that have come, or that nobody waits for any more.
    @exclusivity(unchecked) private(set) var delivered: UInt64 = 0
    /// In the list of those whose window has room again.
    @exclusivity(unchecked) var isQueued = false
    /// For the search for publishers that stand still.
    var lastDelivered: UInt64 = 0
    var stillSince: UInt64 = 0

    /// - Parameter limit: messages of this publisher; nil for no end.
    init(_ role: BenchPlan.Role, topic: MQTTString, copies: Int, limit: UInt64?, run: UInt32, _ settings: BenchSettings)
    {
        self.number = role.publisher
        self.copies = UInt64(copies)
        self.size = settings.size
        self.window = UInt64(settings.window)
        self.inflightMax = settings.inflight
        self.limit = limit
        self.stamp = MessageStamp(run: run, publisher: UInt32(role.publisher), sequence: 0, intended: 0)
        var template = ByteBuffer()
        let publish = Publish(
            topic: topic,
            payload: stamp.payload(size: settings.size),
            qos: settings.qos,
            packetID: settings.qos == .atMostOnce ? 0 : 1,
            isRetained: settings.isRetained
        )
        PacketEncoder.write(.publish(publish), version: settings.client.connect.version, into: &template)
        self.template = template
        // From the end: payload, the length of no properties, the identifier.
        let behindID = settings.size + (settings.client.connect.version == .v5 ? 1 : 0)
        self.idOffset = settings.qos == .atMostOnce ? nil : template.readableBytes - behindID - 2
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
        // A broker may allow fewer unacknowledged messages than that.
        let enough = flight == nil ? refill : min(refill, UInt64(max(1, inflightMax / 2)))
        return free >= enough ? min(free, byLimit) : 0
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

    /// Messages that should have been sent by `now` and were not.
    func overdue(_ schedule: SendSchedule, now: UInt64) -> UInt64 {
        let wanted = min(schedule.count(publisher: number, now: now), limit ?? .max)
        return wanted - min(wanted, sent)
    }

    var isDone: Bool { limit.map { sent >= $0 } ?? false }
    var isSettled: Bool { flight.map { $0.count == 0 } ?? true }
    var hasFullWindow: Bool { copies > 0 && delivered < sent * copies && min(byWindow, byAcknowledgements) == 0 }

    /// Bytes of each PUBLISH.
    var packetBytes: Int { template.readableBytes }

    /// Appends messages.
    ///
    /// - Parameters:
    ///   - count: at most what may be sent.
    ///   - intended: when a message should have been sent, by its number.
    /// - Returns: how many were appended; fewer than `count` when identifiers ran out.
    /// - Complexity: O(bytes), no allocation beyond growth of `out`.
    func publish(_ count: Int, into out: inout ByteBuffer, intended: (UInt64) -> UInt64) -> Int {
        let size = template.readableBytes
        var appended = 0
        template.withUnsafeReadableBytes { source in
            _ = out.writeWithUnsafeMutableBytes(minimumWritableBytes: count * size) { target in
                while appended < count {
                    let time = intended(sent)
                    let packet = UnsafeMutableRawBufferPointer(
                        rebasing: target[appended * size..<(appended + 1) * size]
                    )
                    packet.copyMemory(from: source)
                    if let idOffset {
                        guard let id = flight?.take(intended: time) else { break }
                        packet.storeBytes(of: id.bigEndian, toByteOffset: idOffset, as: UInt16.self)
                    }
                    stamp.sequence = sent
                    stamp.intended = time
                    stamp.rewrite(in: UnsafeMutableRawBufferPointer(rebasing: packet[(size - self.size)...]))
                    sent += 1
                    appended += 1
                }
                return appended * size
            }
        }
        return appended
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

    func delivered(_ count: UInt64) { delivered = delivered.addingSaturated(count) }

    /// Whoever waits for copies that do not come waits no longer; they count as lost all the same. Should they come after
    /// all, they give nothing back a second time: see `WrittenOff`.
    func writeOff() { delivered = max(delivered, sent * copies) }
}

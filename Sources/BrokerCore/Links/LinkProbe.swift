package import MQTTCodec

/// How a link is asked whether anything moves over it.
package struct LinkProbeSettings: Sendable, Equatable {
    package enum Mode: String, Sendable, CaseIterable {
        /// A round trip where it can return, else what is acknowledged, else PINGREQ.
        case auto
        /// PINGREQ, as often as the keep-alive wants it.
        case off
    }

    package var mode: Mode
    package var every: Duration = .seconds(15)
    /// Where the round trip goes; nil for a topic of ours that has the client id in it.
    package var topic: MQTTString?

    package init(_ mode: Mode = .auto) { self.mode = mode }
}

/// What one connection of a link is asked again and again, and what is made of the answers.
///
/// The probe itself is a QoS 0 message to a topic that only this link subscribes to, without No Local. A broker that
/// grants the subscription may still deny the publish, or drop it: until one has returned, PINGRESP is good enough, and
/// where none returns it stays so. Once one has returned, an upstream that answers pings and moves no message is stalled.
/// A message that it acknowledges or sends is as good as a probe that returns: QoS 0 is the first that a broker drops
/// when it has much for us.
package struct LinkProbe: Sendable {
    package enum RoundTrip: Sendable, Equatable {
        /// It is not asked for, or the subscription was refused.
        case impossible
        /// SUBSCRIBE with this identifier is out.
        case asked(UInt16)
        /// SUBACK allowed it; none has returned yet.
        case granted
        case returns
        /// None came back, over a connection that answers otherwise.
        case missing
    }

    package private(set) var roundTrip = RoundTrip.impossible
    /// Of the probe that is out; 0 before the first.
    package private(set) var number: UInt64 = 0
    private var isOut = false
    private var hasLineAnswered = false
    private var hasMessageMoved = false
    /// When the message that is out was sent.
    private var sentAt: Instant?
    /// How long the last one took that returned.
    package private(set) var delay: Duration?

    package init() {}

    /// Whether anything came since the probe that is out.
    package var isAnswered: Bool { hasLineAnswered || hasMessageMoved }

    /// Whether the upstream was asked for a round trip, and has not said no, nor shown that it works.
    package var isUnproven: Bool {
        switch roundTrip {
        case .asked, .granted: true
        case .impossible, .returns, .missing: false
        }
    }

    package mutating func asked(_ packetID: UInt16) { roundTrip = .asked(packetID) }

    /// - Returns: whether this SUBACK was the probe's.
    package mutating func subscribed(_ packetID: UInt16, isGranted: Bool) -> Bool {
        guard roundTrip == .asked(packetID) else { return false }
        roundTrip = isGranted ? .granted : .impossible
        return true
    }

    /// A new probe begins.
    package mutating func begin() {
        number &+= 1
        isOut = true
        hasLineAnswered = false
        hasMessageMoved = false
        sentAt = nil
    }

    /// The message of this probe, if there is to be one, goes out now.
    ///
    /// - Returns: its payload; nil when none is to be sent.
    package mutating func send(epoch: UInt64, _ now: Instant) -> String? {
        guard isOut, sentAt == nil, roundTrip == .granted || roundTrip == .returns else { return nil }
        sentAt = now
        return "\(epoch)-\(number)"
    }

    /// Whether PINGREQ has to be asked as well.
    package var needsPing: Bool { roundTrip != .returns }

    /// A message came on the topic of the probe.
    ///
    /// - Returns: false for one that is nobody's, or of a connection before this one.
    package mutating func returned(_ payload: String, epoch: UInt64, _ now: Instant) -> Bool {
        guard payload.hasPrefix("\(epoch)-") else { return false }
        if payload == "\(epoch)-\(number)", let sentAt { delay = now.since(sentAt) }
        roundTrip = .returns
        hasMessageMoved = true
        return true
    }

    /// PINGRESP, SUBACK: somebody reads what we send.
    package mutating func lineAnswered() { hasLineAnswered = true }

    /// A message of ours was acknowledged, or one came.
    package mutating func messageMoved() { hasMessageMoved = true }

    /// The time of the probe that is out is over.
    ///
    /// - Parameter isExcused: we were the ones who did not read.
    /// - Returns: whether nothing moves.
    package mutating func isStalled(isExcused: Bool) -> Bool {
        guard isOut, !isExcused else { return false }
        switch roundTrip {
        case .returns: return !hasMessageMoved
        case .granted:
            if isAnswered { roundTrip = .missing }
            return !isAnswered
        case .impossible, .asked, .missing: return !isAnswered
        }
    }
}

/// The message at the head of a link's queue, when the upstream closes the connection whenever it is sent.
///
/// Version 3 has no other way to refuse a message that is too large or that it may not publish, and such a one would hold
/// up the rest for ever. A line that breaks looks alike, so nothing is given up in haste: from the second closing without
/// any progress on, the message is sent alone, and it takes several more, over a minute at least, until it is the one to
/// go. It is counted as rejected, and the log says so.
struct LinkSuspect {
    private static let closingsBeforeIsolation = 2
    private static let closingsMax = 6
    private static let time = Duration.seconds(60)

    private(set) var position: Position?
    private var closings = 0
    private var since = Instant(nanoseconds: 0)
    private var isConvicted = false

    /// Whether it is to be sent alone.
    var isIsolated: Bool { closings >= Self.closingsBeforeIsolation }

    /// The upstream closed, and had acknowledged nothing over this connection.
    mutating func closed(at position: Position, _ now: Instant) {
        if self.position != position {
            self = LinkSuspect()
            self.position = position
            since = now
        }
        closings += 1
        isConvicted = closings >= Self.closingsMax && now.since(since) >= Self.time
    }

    /// - Returns: the position of the message that goes, if any.
    mutating func takeConvicted() -> Position? {
        guard isConvicted else { return nil }
        defer { self = LinkSuspect() }
        return position
    }
}

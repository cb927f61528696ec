import MQTTCodec

/// The way back of a link to a better address, beside the connection that it has meanwhile.
///
///     waiting -> dialling -> handshaking -> moved: the link's connection is this one now
///        ^           |             |
///        +-----------+-------------+   refused, silent
struct LinkReturn {
    /// Dials of a return have numbers of their own, so that none is taken for one of the link itself.
    private static let firstEpoch: UInt64 = 1 << 63

    /// The better addresses, one after the other; nil while it waits.
    var route: LinkRoute?
    /// Counts the dials.
    private var dials: UInt64 = 0
    /// The dial that is under way.
    private(set) var epoch: UInt64?
    /// An upstream that has not answered our CONNECT.
    var connection: Connection?
    var timer: TimerQueue.Token?

    /// - Returns: the number of a new dial.
    mutating func dial() -> UInt64 {
        dials &+= 1
        let epoch = Self.firstEpoch | dials
        self.epoch = epoch
        return epoch
    }

    /// Answers to the dial that was under way are not wanted any more.
    mutating func forgetDial() { epoch = nil }
}

/// What the brokers at several addresses of one upstream know of our session.
///
/// Addresses may be doors of one broker, nodes of a cluster, or brokers that know nothing of each other. A broker that
/// finds a session of ours tells which: when another one had to begin anew meanwhile, the session that it finds is one of
/// the time before, and its packet identifiers are not ours of today.
struct LinkSessions {
    /// The address of the last connection; nil before the first.
    private var last: Int?
    /// Addresses that have, or had, a session of ours.
    private var visited: Set<Int> = []
    /// Addresses whose sessions are of the time before.
    private var old: Set<Int> = []
    /// Identifiers of QoS 2 whose exchange was left unfinished there.
    private var unfinished: [Int: [UInt16]] = [:]

    /// An upstream accepted.
    ///
    /// - Parameters:
    ///   - isPresent: whether it found a session.
    ///   - open: identifiers of QoS 2 that were sent and are not settled.
    /// - Returns: whether the session is the one that we know, and the identifiers to release where it is not.
    mutating func accepted(
        at address: Int,
        isPresent: Bool,
        open: @autoclosure () -> [UInt16]
    ) -> (isOurs: Bool, toRelease: [UInt16]) {
        let before = last
        last = address
        visited.insert(address)
        if isPresent, !old.contains(address) { return (true, []) }
        let toRelease = isPresent ? unfinished[address] ?? [] : []
        unfinished[address] = nil
        if let before, before != address { unfinished[before] = open() }
        old = visited.subtracting([address])
        return (false, toRelease)
    }
}

import MQTTCodec

/// What the brokers that a link led to have of what is retained here: all of it, or all up to some moment, or nothing.
///
/// What changes is queued for the link and goes to whichever upstream settles it. So as long as a link stays with one,
/// that one has everything, or the queue has. When it leads to another, that one lacks what was settled elsewhere since
/// the link was last there.
///
///     connected ----> complete --- another one settles something ---> lacks what came since it had all
///         ^                                                             |
///         +----------------------- it is queued ------------------------+
struct LinkHoldings {
    /// A Drawbridge says who it is, by whatever address; of others the address has to do.
    enum Upstream: Hashable {
        case node(UInt64)
        case address(Int)

        /// As it stands in the spool, beside filters: no filter begins like this.
        var record: MQTTString {
            switch self {
            case .node(let number): MQTTString(Self.recordPrefix + String(number, radix: 16))
            case .address: MQTTString(Self.recordPrefix)
            }
        }

        static let recordPrefix = "#at "
    }

    /// How an upstream met us.
    enum Welcome {
        /// It is a Drawbridge, which keeps what it retains whatever becomes of sessions, or it knows our session.
        case knowsUs
        /// It knows a session of ours of the time before, or none, and was never to keep one.
        case mayKnowUs
        /// It was to keep our session, and has none: what else it was to keep may be gone too.
        case forgot
    }

    private(set) var current: Upstream?
    /// Those that have everything, apart from what the queue has.
    private var complete: Set<Upstream> = []
    /// Up to which message they had everything.
    private var held: [Upstream: MessageID] = [:]

    /// What the current upstream has for certain: whatever is not younger.
    var heldByCurrent: MessageID? { current.flatMap { held[$0] } }

    /// - Parameter record: what the spool says of where the link was last; nil when it never was anywhere.
    /// - Returns: after which message the upstream may lack what is retained; nil when it lacks nothing.
    mutating func connected(to upstream: Upstream, _ welcome: Welcome, record: MQTTString?) -> MessageID? {
        let isFirst = current == nil
        current = upstream
        defer { complete.insert(upstream) }
        // The rules of a link that was never anywhere have queued what there is.
        if isFirst, record == nil || record == upstream.record && welcome != .forgot { return nil }
        if welcome == .forgot {
            complete.remove(upstream)
            held[upstream] = nil
        }
        if case .address = upstream, welcome == .knowsUs { return nil }
        return complete.contains(upstream) ? nil : held[upstream] ?? MessageID(high: 0, low: 0)
    }

    /// The current upstream has settled a message, which no other one has.
    mutating func settled() {
        guard complete.count > 1, let current else { return }
        complete = [current]
    }

    /// Nothing waits for the current upstream, or for its answer.
    mutating func isEven(_ last: MessageID) {
        if let current { held[current] = last }
    }

    /// The link leads elsewhere from now on: addresses mean nothing any more.
    mutating func forgetAddresses() {
        func isAddress(_ upstream: Upstream) -> Bool { if case .address = upstream { true } else { false } }
        complete = complete.filter { !isAddress($0) }
        held = held.filter { !isAddress($0.key) }
        if let place = current, isAddress(place) { current = nil }
    }
}

import Synchronization

/// Counts of the listeners that have a limit of their own: one for all addresses of a listener, and for those who come
/// through a `mux`.
final class ListenerCensuses: Sendable {
    private let byName = Mutex<[String: ConnectionCensus]>([:])

    /// - Returns: nil when the listener has no limit. One that has another limit than before begins anew.
    func census(of listener: ListenerConfiguration) -> ConnectionCensus? {
        guard let limit = listener.limits.connectionsMax else { return nil }
        return byName.withLock { byName in
            if let known = byName[listener.name], known.totalMax == limit { return known }
            let census = ConnectionCensus(totalMax: limit)
            byName[listener.name] = census
            return census
        }
    }
}

/// What a session gets of a message that several of its subscriptions match (§3.3.4).
package enum Overlapping: String, Sendable, Hashable, CaseIterable {
    /// One copy, of the highest QoS of them, with the identifiers of all.
    case one
    /// A copy for each of them, with its own QoS, Retain As Published and identifier.
    case each
}

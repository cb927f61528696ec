/// A fault that is put in on purpose: a run with it has to fail, or a checker is asleep.
package enum Sabotage: Sendable, CaseIterable {
    /// The disk says "committed" too early.
    case earlyCommit
    /// The disk now and then forgets that somebody waits for a message.
    case lostRow
    /// A message needs no row as soon as one of its receivers acknowledged it before it was written.
    case eagerElision
    /// A message counts as stored as soon as one of its receivers acknowledged it.
    case eagerAnswer
    /// At a restart the disk has forgotten which QoS 2 messages were sent under which identifier.
    case forgottenIdentifiers
    /// Pages come back to front.
    case reversedPages
    /// The disk does not keep retained messages.
    case forgottenRetained
    /// The broker overhears the will of a CONNECT.
    case lostWill
    /// The broker overhears DISCONNECT: the will goes out all the same.
    case deafToDisconnect
    /// The broker overhears No Local.
    case deafToNoLocal
    /// The broker overhears the name of a share group: every member subscribes for itself.
    case deafToShare
    /// At a restart the disk has forgotten the share groups.
    case forgottenGroups
    /// The broker hears the second of two messages first, and answers it first.
    case hastyEars
    /// A loop does what the shard wants in the opposite order; on nodes with several loops.
    case reversedOrders
    /// The reference does not hear UNSUBSCRIBE.
    case deafReference
    /// Bounds are looked at as if there were none left.
    case narrowBounds
}

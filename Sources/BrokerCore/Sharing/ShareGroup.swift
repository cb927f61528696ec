import MQTTCodec

/// The members of a shared subscription, and what is out with them (§4.8.2).
///
/// A group is a receiver like any other: a `Session` without a client, with a place in the index and a queue, which is
/// in the spool as soon as a member outlives its connection and in memory until then. Its members take from the queue
/// as their windows have room. What is out stays in the queue until it is acknowledged, so that the death of a member
/// needs no more than reading from there again.
///
/// It lives as long as a session subscribes to it.
final class ShareGroup {
    struct Member {
        /// Of the session.
        let slot: Int32
        var options: SubscriptionOptions
        var identifier: UInt32?
        /// The access rules do not grant it any more.
        var isSuspended = false
    }

    /// A message that a member has and did not acknowledge.
    struct Held {
        /// Of the member's session.
        let slot: Int32
        /// Under which the member got it.
        let packetID: UInt16
        /// The group's own identifier of an exchange with a member that does not outlive its connection; 0 for none.
        /// A crash ends such a member, and nobody else may get the message then.
        var exchange: UInt16 = 0
        /// Whose message it is, where order is kept by publisher.
        var publisher: UInt32?
        /// The message itself, when only memory has it.
        var kept: Session.Queued?
    }

    /// What is matched with: FILTER of `$share/NAME/FILTER`.
    let pattern: MQTTString
    private(set) var members: [Member] = []
    /// Who is asked first.
    var turn = 0
    /// The highest QoS of the members, as the index knows it.
    var maximumQoS: QoS?
    /// By position; those of messages that only memory has are made up here.
    private(set) var out: [Position: Held] = [:]
    /// What came back and only memory has, in order: it goes before the queue.
    private(set) var returned: [(position: Position, queued: Session.Queued)] = []
    /// What was settled since the page on hand was asked for: the page may still name it.
    private(set) var settledMeanwhile: Set<Position> = []
    /// The lowest position that nobody who was there may have; somebody who is not may.
    var passedOver: Position?
    /// A member is back to which something has to be sent again.
    var owesResend = false
    private var lastKept: UInt64 = 0
    /// Of publishers whose messages are out: who has the latest, and how many of them.
    private var holders: [UInt32: (slot: Int32, count: Int)] = [:]

    init(pattern: MQTTString) { self.pattern = pattern }

    func add(_ member: Member) {
        if let place = members.firstIndex(where: { $0.slot == member.slot }) {
            members[place] = member
        } else {
            members.append(member)
        }
    }

    func remove(_ slot: Int32) { members.removeAll { $0.slot == slot } }

    func suspend(_ slot: Int32, _ isSuspended: Bool) {
        guard let place = members.firstIndex(where: { $0.slot == slot }) else { return }
        members[place].isSuspended = isSuspended
    }

    /// A position for a message that the spool does not have: above all that it gives.
    func nextKeptPosition() -> Position {
        lastKept += 1
        return Position(1 << 63 | lastKept)
    }

    func give(_ held: Held, at position: Position) {
        out[position] = held
        guard let publisher = held.publisher else { return }
        let before = holders[publisher]
        holders[publisher] = (held.slot, before?.slot == held.slot ? (before?.count ?? 0) + 1 : 1)
    }

    func takeOut(_ position: Position) -> Held? {
        guard let held = out.removeValue(forKey: position) else { return nil }
        if let publisher = held.publisher, let holder = holders[publisher], holder.slot == held.slot {
            holders[publisher] = holder.count > 1 ? (holder.slot, holder.count - 1) : nil
        }
        return held
    }

    /// Puts back what only memory has, in its place.
    func putBack(_ queued: Session.Queued, at position: Position) {
        let place = returned.firstIndex { $0.position > position } ?? returned.count
        returned.insert((position, queued), at: place)
    }

    func takeReturned() -> (position: Position, queued: Session.Queued)? {
        returned.isEmpty ? nil : returned.removeFirst()
    }

    func noteSettled(_ position: Position) { settledMeanwhile.insert(position) }
    func forgetSettled() { settledMeanwhile.removeAll(keepingCapacity: true) }

    /// Who has messages of this publisher now: the one that was given the last of them.
    func holder(of publisher: UInt32) -> Int32? { holders[publisher]?.slot }
}

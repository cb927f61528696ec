extension Shard {
    /// The durable sessions whose client is connected, and the share groups of which a member is, in the order of their
    /// numbers. Links are not among them.
    ///
    /// - Complexity: O(receivers and members), for people who ask.
    package var connectedReceivers: [ReceiverID] {
        receivers.filter { $0.value.link == nil && isConnected($0.value) }.keys.sorted()
    }

    private func isConnected(_ session: Session) -> Bool {
        guard let group = session.group else { return session.connection != nil }
        return group.members.contains { sessions[Int($0.slot)]?.connection != nil }
    }

    /// Receivers that had no room for a publish, with how many were refused and how many held back since the start.
    ///
    /// - Complexity: O(receivers), for people who ask.
    package var refusals: [ReceiverID: (refused: UInt64, heldBack: UInt64)] {
        receivers.filter { $0.value.refused > 0 || $0.value.heldBack > 0 }
            .mapValues { ($0.refused, $0.heldBack) }
    }
}

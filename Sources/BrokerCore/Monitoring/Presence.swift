extension Shard {
    /// The durable sessions whose client is connected, in the order of their numbers. Links are not among them.
    ///
    /// - Complexity: O(receivers), for people who ask.
    package var connectedReceivers: [ReceiverID] {
        receivers.filter { $0.value.link == nil && $0.value.connection != nil }.keys.sorted()
    }

    /// Receivers that had no room for a publish, with how many were refused and how many held back since the start.
    ///
    /// - Complexity: O(receivers), for people who ask.
    package var refusals: [ReceiverID: (refused: UInt64, heldBack: UInt64)] {
        receivers.filter { $0.value.refused > 0 || $0.value.heldBack > 0 }
            .mapValues { ($0.refused, $0.heldBack) }
    }
}

extension Shard {
    /// The durable sessions whose client is connected, in the order of their numbers. Links are not among them.
    ///
    /// - Complexity: O(receivers), for people who ask.
    package var connectedReceivers: [ReceiverID] {
        receivers.filter { $0.value.link == nil && $0.value.connection != nil }.keys.sorted()
    }
}

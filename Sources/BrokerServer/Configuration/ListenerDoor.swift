/// One address of a listener, with all that counts for whoever comes in there: two that are equal are the same door.
package struct ListenerDoor: Sendable, Equatable {
    /// Without its addresses.
    package let listener: ListenerConfiguration
    package let address: BindAddress

    package init(_ listener: ListenerConfiguration, at address: BindAddress) {
        var listener = listener
        listener.addresses = []
        self.listener = listener
        self.address = address
    }

    /// All doors of a configuration, in its order.
    package static func all(of listeners: [ListenerConfiguration]) -> [ListenerDoor] {
        listeners.flatMap { listener in listener.addresses.map { ListenerDoor(listener, at: $0) } }
    }
}

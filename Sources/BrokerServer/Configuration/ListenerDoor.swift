/// One address of a listener, with all that counts for whoever comes in there: two that are equal are the same door.
package struct ListenerDoor: Sendable, Equatable {
    /// Without its addresses.
    package let listener: ListenerConfiguration
    package let address: BindAddress
    /// Whom a listener of type `mux` serves here, without their addresses.
    private let served: [ListenerConfiguration]

    /// - Parameter listeners: those of the same configuration.
    package init(
        _ listener: ListenerConfiguration, at address: BindAddress, among listeners: [ListenerConfiguration] = []
    ) {
        self.listener = listener.withoutAddresses
        self.address = address
        if case .mux(let mux) = listener.kind {
            served = mux.serves.compactMap { name in listeners.first { $0.name == name }?.withoutAddresses }
        } else {
            served = []
        }
    }

    /// All doors of a configuration, in its order.
    package static func all(of listeners: [ListenerConfiguration]) -> [ListenerDoor] {
        listeners.flatMap { listener in
            listener.addresses.map { ListenerDoor(listener, at: $0, among: listeners) }
        }
    }
}

extension ListenerConfiguration {
    fileprivate var withoutAddresses: ListenerConfiguration {
        var listener = self
        listener.addresses = []
        return listener
    }
}

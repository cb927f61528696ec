/// What another configuration would change in a running node.
package struct ConfigurationChange: Sendable, Equatable {
    /// What is taken while the node runs, in words for the log.
    package private(set) var live: [String] = []
    /// Tables, or keys, that only a start takes.
    package private(set) var needingRestart: [String] = []
    /// Whether the rules of `[acl]` are others.
    package let changesAccess: Bool
    /// Names of the links that were there before and have to connect anew.
    package private(set) var changedLinks: [String] = []
    package private(set) var openingDoors: [ListenerDoor] = []
    package private(set) var closingDoors: [ListenerDoor] = []

    package init(from old: Configuration, to new: Configuration) {
        changesAccess = old.access.rules != new.access.rules || old.access.fallback != new.access.fallback
        var node = new.node
        (node.serverReference, node.isServerMoved) = (old.node.serverReference, old.node.isServerMoved)
        // Doors and logins were made with these.
        var limits = new.limits
        limits.connectionsMax = old.limits.connectionsMax
        limits.connectTimeout = old.limits.connectTimeout
        limits.writeBufferBytesMax = old.limits.writeBufferBytesMax
        var log = new.log
        log.format = old.log.format

        let table: [(name: String, isLive: Bool, isSame: Bool)] = [
            ("[node]", false, old.node == node),
            ("node.server_reference", true, new.node == node),
            ("log.format", false, old.log.format == new.log.format),
            ("[log]", true, old.log == log),
            ("[durability]", false, old.durability == new.durability),
            ("limits.max_connections", false, old.limits.connectionsMax == new.limits.connectionsMax),
            ("limits.connect_timeout", false, old.limits.connectTimeout == new.limits.connectTimeout),
            ("limits.write_buffer", false, old.limits.writeBufferBytesMax == new.limits.writeBufferBytesMax),
            ("[limits]", true, old.limits == limits),
            ("[queue]", true, old.queue == new.queue),
            ("[subscriptions]", true, old.subscriptions == new.subscriptions),
            ("[shared_subscriptions]", true, old.sharing == new.sharing),
            ("[retained]", true, old.retained == new.retained),
            ("[auth]", false, old.authentication == new.authentication),
            ("[acl]", true, old.access == new.access),
            ("[metrics]", true, old.metrics == new.metrics),
        ]
        for row in table where !row.isSame {
            if row.isLive { live.append(row.name) } else { needingRestart.append(row.name) }
        }
        compareDoors(ListenerDoor.all(of: old.listeners), ListenerDoor.all(of: new.listeners))
        compareLinks(old.links, new.links)
    }

    private mutating func compareDoors(_ old: [ListenerDoor], _ new: [ListenerDoor]) {
        closingDoors = old.filter { !new.contains($0) }
        openingDoors = new.filter { !old.contains($0) }
        live += closingDoors.map { "listener \($0.listener.name) at \($0.address) closed" }
        for door in openingDoors {
            if closingDoors.contains(where: { $0.address.collides(with: door.address) }) {
                // The old one would have to close before it is known whether the new one opens.
                needingRestart.append("listener \(door.listener.name) at \(door.address)")
            } else {
                live.append("listener \(door.listener.name) at \(door.address) opened")
            }
        }
    }

    private mutating func compareLinks(_ old: [LinkConfiguration], _ new: [LinkConfiguration]) {
        for link in old where !new.contains(where: { $0.name == link.name }) {
            live.append("link \(link.name) removed")
        }
        for link in new {
            guard var before = old.first(where: { $0.name == link.name }) else {
                live.append("link \(link.name) added")
                continue
            }
            if before.spool != link.spool { live.append("[link.spool] of link \(link.name)") }
            before.spool = link.spool
            guard before != link else { continue }
            live.append("link \(link.name) changed")
            changedLinks.append(link.name)
        }
    }
}

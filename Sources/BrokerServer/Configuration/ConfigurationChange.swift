/// What another configuration would change in a running node.
package struct ConfigurationChange: Sendable, Equatable {
    /// Tables that are taken while the node runs.
    package private(set) var live: [String] = []
    /// Tables, or keys, that only a start takes.
    package private(set) var needingRestart: [String] = []

    package init(from old: Configuration, to new: Configuration) {
        var access = old.access
        (access.rules, access.fallback) = (new.access.rules, new.access.fallback)
        if old.access != access { live.append("[acl]") }
        let others: [(name: String, isSame: Bool)] = [
            ("[node]", old.node == new.node),
            ("[log]", old.log == new.log),
            ("[durability]", old.durability == new.durability),
            ("[limits]", old.limits == new.limits),
            ("[queue]", old.queue == new.queue),
            ("[retained]", old.retained == new.retained),
            ("[auth]", old.authentication == new.authentication),
            ("acl.on_denied or acl.on_denied_v3", access == new.access),
            ("[[listener]]", old.listeners == new.listeners),
            ("[[link]]", old.links == new.links),
        ]
        needingRestart = others.filter { !$0.isSame }.map(\.name)
    }
}

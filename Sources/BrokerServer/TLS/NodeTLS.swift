import Logging
import NIOCore

/// All TLS of a node, made before anything is opened: files that cannot be used stop the start, or a reload.
struct NodeTLS {
    /// By the listener's name.
    private(set) var doors: [String: TLSDoor] = [:]
    /// By the link's name, for each transport of its addresses that needs it: they differ in ALPN.
    private(set) var links: [String: [LinkAddress.Transport: WatchedTLS]] = [:]
    /// All of them, in the order of the file.
    private(set) var all: [WatchedTLS] = []

    /// - Parameter known: what a running node has. Listeners and links that are configured as they were keep theirs.
    init(
        _ configuration: Configuration,
        known: (tls: NodeTLS, configuration: Configuration)? = nil,
        logger: Logger
    ) throws(StartError) {
        for listener in configuration.listeners {
            // One that serves others shows their certificates, so they have to be the same too.
            let isKnown = known?.configuration.listeners.contains { $0.isSame(as: listener) } == true
            if isKnown, known?.configuration.tls(of: listener) == configuration.tls(of: listener) {
                doors[listener.name] = known?.tls.doors[listener.name]
            } else {
                doors[listener.name] = try Self.door(of: listener, configuration, logger)
            }
            if let door = doors[listener.name] { all.append(door.watched) }
        }
        for link in configuration.links {
            if known?.configuration.links.contains(link) == true {
                links[link.name] = known?.tls.links[link.name]
            } else {
                links[link.name] = try Self.contexts(of: link)
            }
            all += LinkAddress.Transport.allCases.compactMap { links[link.name]?[$0] }
        }
    }

    private static func door(
        of listener: ListenerConfiguration,
        _ configuration: Configuration,
        _ logger: Logger
    ) throws(StartError) -> TLSDoor? {
        guard let tls = configuration.tls(of: listener) else { return nil }
        let limits = listener.limits(within: configuration.limits)
        let owner = "listener \(listener.name)"
        do throws(TLSProblem) {
            return try TLSDoor(
                tls,
                of: owner,
                applicationProtocols: listener.kind.applicationProtocols,
                timeout: TimeAmount(limits.connectTimeout),
                connectionsMax: limits.connectionsMax,
                logger: logger
            )
        } catch {
            throw .tls(owner: owner, error)
        }
    }

    private static func contexts(
        of link: LinkConfiguration
    ) throws(StartError) -> [LinkAddress.Transport: WatchedTLS] {
        var contexts: [LinkAddress.Transport: WatchedTLS] = [:]
        let tls = link.tls
        let owner = "link \(link.name)"
        for transport in LinkAddress.Transport.allCases where transport.isEncrypted {
            guard link.addresses.contains(where: { $0.transport == transport }) else { continue }
            do throws(TLSProblem) {
                contexts[transport] = try WatchedTLS(owner: owner, paths: tls.paths, isWatched: true) {
                    () throws(TLSProblem) in
                    try tls.load(.disk, applicationProtocol: transport.applicationProtocol)
                }
            } catch {
                throw .tls(owner: owner, error)
            }
        }
        return contexts
    }
}

extension ListenerConfiguration {
    /// Whether the addresses are all that may be others.
    fileprivate func isSame(as other: ListenerConfiguration) -> Bool {
        var other = other
        other.addresses = addresses
        return self == other
    }
}

extension ListenerConfiguration.Kind {
    /// What is offered in ALPN.
    fileprivate var applicationProtocols: [String] {
        switch self {
        case .mqtt: ["mqtt"]
        case .web: ["http/1.1"]
        case .mux: ["mqtt", "http/1.1"]
        }
    }
}

extension Configuration {
    /// With which certificates a listener speaks TLS: its own, or, for one that serves others, those of the first that
    /// has any.
    package func tls(of listener: ListenerConfiguration) -> ListenerTLSConfiguration? {
        if let own = listener.tls { return own }
        guard case .mux(let mux) = listener.kind else { return nil }
        for name in mux.serves {
            if let tls = listeners.first(where: { $0.name == name })?.tls { return tls }
        }
        return nil
    }
}

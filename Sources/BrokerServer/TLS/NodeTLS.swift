import Logging
import NIOCore

/// All TLS of a node, made before anything is opened: files that cannot be used stop the start.
struct NodeTLS {
    /// By the listener's name.
    let doors: [String: TLSDoor]
    /// By the link's name, for each transport of its addresses that needs it: they differ in ALPN.
    let links: [String: [LinkAddress.Transport: WatchedTLS]]
    let watch: CertificateWatch

    init(_ configuration: Configuration, logger: Logger) throws(StartError) {
        var doors: [String: TLSDoor] = [:]
        var links: [String: [LinkAddress.Transport: WatchedTLS]] = [:]
        var all: [WatchedTLS] = []
        for listener in configuration.listeners {
            guard let tls = configuration.tls(of: listener) else { continue }
            let owner = "listener \(listener.name)"
            do throws(TLSProblem) {
                let door = try TLSDoor(
                    tls,
                    of: owner,
                    applicationProtocols: listener.kind.applicationProtocols,
                    timeout: TimeAmount((listener.limits ?? configuration.limits).connectTimeout),
                    connectionsMax: configuration.limits.connectionsMax,
                    logger: logger
                )
                all.append(door.watched)
                doors[listener.name] = door
            } catch {
                throw .tls(owner: owner, error)
            }
        }
        for link in configuration.links {
            let tls = link.tls
            let owner = "link \(link.name)"
            for transport in LinkAddress.Transport.allCases where transport.isEncrypted {
                guard link.addresses.contains(where: { $0.transport == transport }) else { continue }
                do throws(TLSProblem) {
                    let watched = try WatchedTLS(owner: owner, paths: tls.paths, isWatched: true) {
                        () throws(TLSProblem) in
                        try tls.load(.disk, applicationProtocol: transport.applicationProtocol)
                    }
                    all.append(watched)
                    links[link.name, default: [:]][transport] = watched
                } catch {
                    throw .tls(owner: owner, error)
                }
            }
        }
        self.doors = doors
        self.links = links
        self.watch = CertificateWatch(all, logger: logger)
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

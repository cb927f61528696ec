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
            guard let tls = listener.tls else { continue }
            let owner = "listener \(listener.name)"
            do throws(TLSProblem) {
                let door = try TLSDoor(
                    tls,
                    of: owner,
                    applicationProtocol: listener.kind == .mqtt ? "mqtt" : "http/1.1",
                    timeout: TimeAmount(configuration.limits.connectTimeout),
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

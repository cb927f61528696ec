import BrokerCore
import Logging
import MQTTCodec
import NIOCore
import Spool
import Synchronization

/// Another configuration for a node that runs.
extension BrokerServer {
    /// Takes another configuration: all that it changes, or nothing when a part of that needs a restart or cannot be
    /// used. Whoever is not concerned stays connected. One call at a time.
    ///
    /// - Returns: whether it was taken; the log says why not.
    @discardableResult
    package func reload(_ new: Configuration) async -> Bool {
        let old = running.withLock { $0 }
        let change = ConfigurationChange(from: old.configuration, to: new)
        guard change.needingRestart.isEmpty else {
            return refuse("a restart is needed for \(change.needingRestart.joined(separator: ", "))")
        }
        let tls: NodeTLS
        do throws(StartError) {
            tls = try NodeTLS(new, known: (old.tls, old.configuration), logger: logger)
        } catch {
            return refuse(error.description)
        }

        guard let opened = await open(change.openingDoors, of: new, tls) else { return false }

        // Nothing can fail from here on.
        running.withLock { running in
            running.configuration = new
            running.tls = tls
            running.doors = old.doors.filter { !change.closingDoors.contains($0.door) } + opened
        }
        // Who came in there stays.
        for door in old.doors where change.closingDoors.contains(door.door) { await Self.close(door) }
        nodeDoors.census.setPerAddressMax(new.limits.connectionsPerAddressMax)
        logLevel?.set(Logger.Level(new.log.level))
        certificates.watch(tls.all)
        let bounds = SpoolOptions(new)
        spool.setBounds(session: bounds.session, links: bounds.links, watermarks: bounds.watermarks)
        shared.add(ClientDoor.all(of: new))
        let detail = change.live.isEmpty ? "nothing changed" : "changed: \(change.live.joined(separator: ", "))"
        shared.post(
            .reconfigure(
                ShardRunner.Reconfiguration(
                    settings: BrokerSettings(new),
                    changesAccess: change.changesAccess,
                    redialing: Set(change.changedLinks.map { MQTTString($0) }),
                    linkConnector: LinkConnector(new, tls: tls.links),
                    denialLevel: Logger.Level(new.log.denials),
                    systemInterval: old.configuration.metrics.saysTheSame(new.metrics)
                        ? nil : new.metrics.systemInterval,
                    tellsMetrics: new.metrics.areTold,
                    detail: detail
                )
            )
        )
        return true
    }

    /// - Returns: nil when one of them cannot be opened; then none is.
    private func open(_ doors: [ListenerDoor], of new: Configuration, _ tls: NodeTLS) async -> [OpenDoor]? {
        var opened: [OpenDoor] = []
        for door in doors {
            do {
                opened.append(try await open(door, of: new, tls))
            } catch {
                for open in opened { await Self.close(open) }
                _ = refuse("\(error)")
                return nil
            }
        }
        return opened
    }

    private func refuse(_ detail: String) -> Bool {
        logger.error("configuration not taken, everything stays as it was", metadata: ["detail": .string(detail)])
        return false
    }
}

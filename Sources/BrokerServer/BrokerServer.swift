import BrokerCore
import Foundation
package import Logging
import MQTTCodec
import NIOCore
import NIOHTTP1
import NIOPosix
package import Spool
import Synchronization

/// Why a node did not start. One line each: what is wrong and what to do.
package enum StartError: Error, CustomStringConvertible {
    case spool(SpoolError)
    case users(ConfigurationProblems)
    case cannotListen(name: String, address: String, reason: String)
    /// The certificate files of a listener or link.
    case tls(owner: String, TLSProblem)

    package var description: String {
        switch self {
        case .spool(let error): error.description
        case .users(let problems): problems.description
        case .cannotListen(let name, let address, let reason):
            "cannot listen on \(address) (listener \"\(name)\"): \(reason)"
        case .tls(let owner, let problem): "\(owner), tls.\(problem.setting): \(problem.message)"
        }
    }
}

/// One running node: builds everything, starts in order, drains in reverse.
///
///     spool -> shard -> loops -> listeners -> links         and back:  listeners, clients and links, spool
package final class BrokerServer: Sendable {
    /// A door that is open.
    package struct Endpoint: Sendable {
        package let name: String
        package let kind: ListenerConfiguration.Kind
        package let isEncrypted: Bool
        /// The address as bound; the port is the real one when 0 was asked for.
        package let host: String
        package let port: Int
        /// Where the socket is in the file system; host and port say nothing then.
        package let unixPath: String?
    }

    struct OpenDoor: Sendable {
        let door: ListenerDoor
        let channel: any Channel
    }

    /// What a node is configured to be at the moment.
    struct Running {
        var configuration: Configuration
        var tls: NodeTLS
        var doors: [OpenDoor]
    }

    /// Those of the start.
    package let endpoints: [Endpoint]
    private let group: MultiThreadedEventLoopGroup
    let shared: SharedShard
    let nodeDoors: NodeDoors
    private let control: ControlSocket?
    let certificates: CertificateWatch
    let spool: Spool
    private let authenticator: Authenticator?
    let running: Mutex<Running>
    let logger: Logger
    let logLevel: LogLevel?

    private init(
        endpoints: [Endpoint],
        group: MultiThreadedEventLoopGroup,
        shared: SharedShard,
        nodeDoors: NodeDoors,
        control: ControlSocket?,
        certificates: CertificateWatch,
        spool: Spool,
        authenticator: Authenticator?,
        running: Running,
        logger: Logger,
        logLevel: LogLevel?
    ) {
        self.endpoints = endpoints
        self.group = group
        self.shared = shared
        self.nodeDoors = nodeDoors
        self.control = control
        self.certificates = certificates
        self.spool = spool
        self.authenticator = authenticator
        self.running = Mutex(running)
        self.logger = logger
        self.logLevel = logLevel
    }

    // MARK: - Start

    /// Opens the spool, binds every listener, then lets links dial. When one step fails everything before it is undone
    /// and nothing stays half started.
    ///
    /// - Parameter logLevel: that of the logger, for a configuration that changes it later.
    /// - Throws: what is wrong, in one line.
    package static func start(
        _ configuration: Configuration,
        logger: Logger,
        logLevel: LogLevel? = nil
    ) async throws(StartError) -> BrokerServer {
        let now = ShardRunner.wall
        let tls = try NodeTLS(configuration, logger: logger)
        let certificates = CertificateWatch(logger: logger)
        let spool: Spool
        let contents: SpoolContents
        do throws(SpoolError) {
            (spool, contents) = try Spool.open(SpoolOptions(configuration), now: now)
        } catch {
            throw .spool(error)
        }
        if let report = spool.quarantine { logger.error("\(report)") }
        for notice in spool.notices { logger.warning("old spool", metadata: ["detail": .string(notice)]) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.node.loopCount)
        let loop = group.next()
        let authenticator: Authenticator?
        do throws(ConfigurationProblems) {
            authenticator = try openAuthenticator(configuration, loop, logger)
        } catch {
            await Self.end(group)
            spool.close()
            throw .users(error)
        }
        var doors: [OpenDoor] = []
        do {
            let shared = makeShard(configuration, spool, contents, authenticator, tls, logger, now)
            let loops = try await connect(shared, to: group, spool, logger)
            authenticator?.whenRevoked { shared.post(.revoked($0)) }
            let metrics = MetricsRoute(spool, shared, certificates, node: configuration.node.id)
            let nodeDoors = NodeDoors(
                configuration: configuration,
                group: group,
                loops: loops,
                gateway: Gateway(shared, metrics, certificates, authenticator),
                tls: tls.doors,
                census: ConnectionCensus(
                    totalMax: configuration.limits.connectionsMax,
                    perAddressMax: configuration.limits.connectionsPerAddressMax
                ),
                logger: logger
            )
            for door in ListenerDoor.all(of: configuration.listeners) {
                let channel = try await nodeDoors.open(door.listener, door.address)
                doors.append(OpenDoor(door: door, channel: channel))
            }
            let control = await openControl(configuration, contents.nodeNumber, group, spool, shared, metrics, logger)
            certificates.watch(tls.all)
            return BrokerServer(
                endpoints: doors.map { Endpoint($0, isEncrypted: tls.doors[$0.door.listener.name] != nil) },
                group: group,
                shared: shared,
                nodeDoors: nodeDoors,
                control: control,
                certificates: certificates,
                spool: spool,
                authenticator: authenticator,
                running: Running(configuration: configuration, tls: tls, doors: doors),
                logger: logger,
                logLevel: logLevel
            )
        } catch {
            for door in doors { await Self.close(door) }
            authenticator?.shutDown()
            await Self.end(group)
            spool.close()
            if let error = error as? StartError { throw error }
            throw .cannotListen(name: "", address: "", reason: "\(error)")
        }
    }

    /// The shard with what the spool held. Nobody runs it yet.
    private static func makeShard(
        _ configuration: Configuration,
        _ spool: Spool,
        _ contents: SpoolContents,
        _ authenticator: Authenticator?,
        _ tls: NodeTLS,
        _ logger: Logger,
        _ wall: Timestamp
    ) -> SharedShard {
        let now = Now(instant: ShardRunner.monotonic, wall: wall)
        let shard = Shard(
            settings: BrokerSettings(configuration),
            contents: contents,
            seed: .random(in: .min ... .max),
            now: now
        )
        for (topic, text) in configuration.durability.announcements { shard.tell(topic, text, now: now) }
        let runner = ShardRunner(
            shard: shard,
            spool: spool,
            linkConnector: LinkConnector(configuration, tls: tls.links),
            authenticator: authenticator,
            logger: logger,
            denialLevel: Logger.Level(configuration.log.denials),
            tellsMetrics: configuration.metrics.areTold
        )
        runner.report(every: configuration.metrics.systemInterval, now)
        return SharedShard(runner, doors: ClientDoor.all(of: configuration))
    }

    /// Lets the loops of the group run the shard.
    private static func connect(
        _ shared: SharedShard,
        to group: MultiThreadedEventLoopGroup,
        _ spool: Spool,
        _ logger: Logger
    ) async throws -> LoopRunners {
        var runners: [NIOLoopBound<LoopRunner>] = []
        var entries: [SharedShard.LoopEntry] = []
        for (index, loop) in group.makeIterator().enumerated() {
            let (runner, entry) = try await loop.submit {
                let runner = LoopRunner(loop, index: index, shared, logger)
                return (NIOLoopBound(runner, eventLoop: loop), runner.entry)
            }.get()
            runners.append(runner)
            entries.append(entry)
        }
        shared.connect(entries, spool)
        return LoopRunners(runners, shared)
    }

    /// Opens one more door while the node runs.
    func open(_ door: ListenerDoor, of configuration: Configuration, _ tls: NodeTLS) async throws -> OpenDoor {
        OpenDoor(door: door, channel: try await nodeDoors.with(configuration, tls).open(door.listener, door.address))
    }

    /// A node that cannot be asked still serves its clients, so a socket that cannot be made is a warning.
    private static func openControl(
        _ configuration: Configuration,
        _ nodeNumber: UInt64,
        _ group: MultiThreadedEventLoopGroup,
        _ spool: Spool,
        _ shared: SharedShard,
        _ metrics: MetricsRoute,
        _ logger: Logger
    ) async -> ControlSocket? {
        var routes = SpoolRoutes.all(
            spool,
            account: { await withCheckedContinuation { shared.post(.account($0)) } },
            now: { ShardRunner.wall }
        )
        let links = LinkRoutes.all(
            spool,
            accounts: { await withCheckedContinuation { shared.post(.links($0)) } },
            act: { action, link in await withCheckedContinuation { shared.post(.linkAction(action, link, $0)) } },
            now: { ShardRunner.wall }
        )
        routes.append(
            LinkExplanationRoute.route { await withCheckedContinuation { shared.post(.linkSettings($0)) } }
        )
        routes.append(AdminRoute(.GET, MetricsRoute.path, door: .any) { _ in await metrics.answer(onWebPort: false) })
        let desk = LinkQueueDesk(
            spool,
            node: nodeNumber,
            name: configuration.node.id,
            ask: { errand in try await withCheckedThrowingContinuation { shared.post(.linkQueue(errand, $0)) } },
            now: { ShardRunner.wall }
        )
        do {
            return try await ControlSocket.open(
                in: configuration.node.dataDirectory,
                group: group,
                routes: AdminRoutes(routes + links + LinkQueueRoutes.all(desk))
            )
        } catch {
            logger.warning("no control socket", metadata: ["detail": "\(error)"])
            return nil
        }
    }

    /// - Returns: nil when everybody is anonymous.
    private static func openAuthenticator(
        _ configuration: Configuration,
        _ loop: any EventLoop,
        _ logger: Logger
    ) throws(ConfigurationProblems) -> Authenticator? {
        guard !configuration.authentication.chain.isEmpty else { return nil }
        let authenticator = try Authenticator(
            configuration.authentication,
            patience: configuration.limits.connectTimeout,
            now: { ShardRunner.monotonic },
            later: { pause, body in
                let (seconds, attoseconds) = pause.components
                loop.scheduleTask(in: .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000), body)
            },
            logger: logger
        )
        loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in authenticator.tick() }
        return authenticator
    }

    // MARK: - Stop

    /// Stops accepting, tells clients (DISCONNECT 0x8B to version 5) and upstreams, commits what was accepted, closes.
    package func shutdown() async {
        certificates.stop()
        await control?.close()
        for door in running.withLock({ $0.doors }) {
            door.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            await Self.close(door)
        }
        let loop = group.any()
        let drained = loop.makePromise(of: Void.self)
        shared.closeDoors()
        shared.post(.drain(drained))
        // A peer that does not read its farewell must not hold the node.
        loop.scheduleTask(in: .seconds(5)) { [shared] in shared.post(.giveUpDraining) }
        await Self.finish(drained.futureResult)
        authenticator?.shutDown()
        spool.close()
        await Self.end(group)
        shared.disconnect()
        logger.info("stopped")
    }

    /// Nobody comes in here any more; a socket of the file system goes too.
    static func close(_ door: OpenDoor) async {
        await finish(door.channel.close())
        if let path = door.door.address.unixPath { UnixSocketFile.remove(path) }
    }

    /// Waits for something whose failure changes nothing any more.
    static func finish(_ future: EventLoopFuture<Void>) async {
        await withCheckedContinuation { continuation in
            future.whenComplete { _ in continuation.resume() }
        }
    }

    private static func end(_ group: MultiThreadedEventLoopGroup) async {
        await withCheckedContinuation { continuation in
            group.shutdownGracefully { _ in continuation.resume() }
        }
    }
}

extension BrokerServer.Endpoint {
    fileprivate init(_ open: BrokerServer.OpenDoor, isEncrypted: Bool) {
        self.init(
            name: open.door.listener.name,
            kind: open.door.listener.kind,
            isEncrypted: isEncrypted,
            host: open.door.address.host,
            port: open.channel.localAddress?.port ?? open.door.address.port,
            unixPath: open.door.address.unixPath
        )
    }
}

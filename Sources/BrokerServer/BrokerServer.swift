import BrokerCore
import Foundation
package import Logging
import MQTTCodec
import NIOCore
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
///     spool -> shard -> listeners -> links          and back:  listeners, clients and links, spool
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

    package let endpoints: [Endpoint]
    private let group: MultiThreadedEventLoopGroup
    private let runner: NIOLoopBound<ShardRunner>
    private let listeners: [any Channel]
    private let control: ControlSocket?
    private let certificates: CertificateWatch
    private let spool: Spool
    private let authenticator: Authenticator?
    /// What it runs with.
    private let configuration: Mutex<Configuration>
    private let logger: Logger

    private init(
        endpoints: [Endpoint],
        group: MultiThreadedEventLoopGroup,
        runner: NIOLoopBound<ShardRunner>,
        listeners: [any Channel],
        control: ControlSocket?,
        certificates: CertificateWatch,
        spool: Spool,
        authenticator: Authenticator?,
        configuration: Configuration,
        logger: Logger
    ) {
        self.endpoints = endpoints
        self.group = group
        self.runner = runner
        self.listeners = listeners
        self.control = control
        self.certificates = certificates
        self.spool = spool
        self.authenticator = authenticator
        self.configuration = Mutex(configuration)
        self.logger = logger
    }

    // MARK: - Start

    /// Opens the spool, binds every listener, then lets links dial. When one step fails everything before it is undone
    /// and nothing stays half started.
    ///
    /// - Throws: what is wrong, in one line.
    package static func start(_ configuration: Configuration, logger: Logger) async throws(StartError) -> BrokerServer {
        let now = Self.wallClock()
        let tls = try NodeTLS(configuration, logger: logger)
        let spool: Spool
        let contents: SpoolContents
        do throws(SpoolError) {
            (spool, contents) = try Spool.open(SpoolOptions(configuration), now: now)
        } catch {
            throw .spool(error)
        }
        if let report = spool.quarantine { logger.error("\(report)") }
        for notice in spool.notices { logger.warning("old spool", metadata: ["detail": .string(notice)]) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let authenticator: Authenticator?
        do throws(ConfigurationProblems) {
            authenticator = try openAuthenticator(configuration, loop, logger)
        } catch {
            await Self.end(group)
            spool.close()
            throw .users(error)
        }
        let settings = BrokerSettings(configuration)
        var listeners: [any Channel] = []
        var endpoints: [Endpoint] = []
        do {
            let (runner, inbox) = try await loop.submit {
                let shard = Shard(
                    settings: settings,
                    contents: contents,
                    seed: .random(in: .min ... .max),
                    now: Now(instant: ShardRunner.monotonic, wall: now)
                )
                for (topic, text) in configuration.durability.announcements {
                    shard.tell(topic, text, now: Now(instant: ShardRunner.monotonic, wall: now))
                }
                let runner = ShardRunner(
                    loop: loop,
                    index: 0,
                    shard: shard,
                    spool: spool,
                    linkConnector: LinkConnector(configuration, tls: tls.links),
                    authenticator: authenticator,
                    logger: logger,
                    denialLevel: Logger.Level(rawValue: configuration.log.denials.rawValue) ?? .info
                )
                return (NIOLoopBound(runner, eventLoop: loop), runner.connect())
            }.get()
            authenticator?.whenRevoked { inbox.post(.revoked($0)) }
            let doors = NodeDoors(
                configuration: configuration,
                group: group,
                runner: runner,
                gateway: Gateway(inbox, tls.watch, authenticator),
                tls: tls.doors,
                census: ConnectionCensus(
                    totalMax: configuration.limits.connectionsMax,
                    perAddressMax: configuration.limits.connectionsPerAddressMax
                ),
                logger: logger
            )
            for listener in configuration.listeners {
                for address in listener.addresses {
                    let channel = try await doors.open(listener, address)
                    listeners.append(channel)
                    endpoints.append(
                        Endpoint(
                            name: listener.name,
                            kind: listener.kind,
                            isEncrypted: configuration.tls(of: listener) != nil,
                            host: address.host,
                            port: channel.localAddress?.port ?? address.port,
                            unixPath: address.unixPath
                        )
                    )
                }
            }
            let control = await openControl(configuration, group, spool, inbox, logger)
            loop.execute { runner.value.turn() }
            tls.watch.start()
            return BrokerServer(
                endpoints: endpoints,
                group: group,
                runner: runner,
                listeners: listeners,
                control: control,
                certificates: tls.watch,
                spool: spool,
                authenticator: authenticator,
                configuration: configuration,
                logger: logger
            )
        } catch {
            for listener in listeners { await Self.finish(listener.close()) }
            for path in endpoints.compactMap(\.unixPath) { UnixSocketFile.remove(path) }
            authenticator?.shutDown()
            await Self.end(group)
            spool.close()
            if let error = error as? StartError { throw error }
            throw .cannotListen(name: "", address: "", reason: "\(error)")
        }
    }

    /// A node that cannot be asked still serves its clients, so a socket that cannot be made is a warning.
    private static func openControl(
        _ configuration: Configuration,
        _ group: MultiThreadedEventLoopGroup,
        _ spool: Spool,
        _ inbox: Inbox,
        _ logger: Logger
    ) async -> ControlSocket? {
        let routes = SpoolRoutes.all(
            spool,
            account: { await withCheckedContinuation { inbox.post(.account($0)) } },
            now: { wallClock() }
        )
        do {
            return try await ControlSocket.open(
                in: configuration.node.dataDirectory,
                group: group,
                routes: AdminRoutes(routes)
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

    private static func wallClock() -> Timestamp {
        var wall = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        return Timestamp(
            microseconds: UInt64(clamping: wall.tv_sec) &* 1_000_000 &+ UInt64(clamping: wall.tv_nsec / 1_000)
        )
    }

    // MARK: - While it runs

    /// Takes another configuration: all that it changes, or nothing when a part of that needs a restart. Nobody is
    /// disconnected. From any thread.
    package func reload(_ new: Configuration) {
        let change = configuration.withLock { current in
            let change = ConfigurationChange(from: current, to: new)
            if change.needingRestart.isEmpty { current = new }
            return change
        }
        guard change.needingRestart.isEmpty else {
            let detail = "a restart is needed for \(change.needingRestart.joined(separator: ", "))"
            logger.error(
                "configuration not taken, everything stays as it was",
                metadata: ["detail": .string(detail)]
            )
            return
        }
        let detail = change.live.isEmpty ? "nothing changed" : "changed: \(change.live.joined(separator: ", "))"
        let (runner, logger) = (runner, logger)
        runner.eventLoop.execute {
            runner.value.setAccess(new.access.compiled)
            // Whoever reads this line finds the new rules at work.
            logger.notice("configuration read again", metadata: ["detail": .string(detail)])
        }
    }

    // MARK: - Stop

    /// Stops accepting, tells clients (DISCONNECT 0x8B to version 5) and upstreams, commits what was accepted, closes.
    package func shutdown() async {
        certificates.stop()
        await control?.close()
        for listener in listeners {
            listener.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            await Self.finish(listener.close())
        }
        for path in endpoints.compactMap(\.unixPath) { UnixSocketFile.remove(path) }
        let loop = runner.eventLoop
        let drained = loop.makePromise(of: Void.self)
        let runner = runner
        loop.execute { runner.value.drain(drained) }
        // A peer that does not read its farewell must not hold the node.
        loop.scheduleTask(in: .seconds(5)) { runner.value.giveUpDraining() }
        await Self.finish(drained.futureResult)
        authenticator?.shutDown()
        spool.close()
        await Self.end(group)
        logger.info("stopped")
    }

    /// Waits for something whose failure changes nothing any more.
    private static func finish(_ future: EventLoopFuture<Void>) async {
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

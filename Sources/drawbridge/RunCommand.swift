import ArgumentParser
import BrokerServer
import Dispatch
import Foundation
import Logging
import Synchronization

/// `drawbridge run`: one node, until SIGTERM or Ctrl-C. SIGHUP makes it read its file again.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the broker.",
        discussion: """
            With no file it serves loopback only: MQTT on 127.0.0.1:1883; WebSocket, HTTP publish and the chat page on \
            127.0.0.1:8083; the spool in ./drawbridge-data.

            SIGHUP makes it read its file again: rules, limits, links and listeners are taken, and whoever is not \
            concerned stays connected; when something changed that only a start takes, or the file has an error, \
            everything stays as it was and the log says why.
            """
    )

    @Option(name: [.short, .long], help: "The TOML file with the configuration.")
    var config: String?

    @Option(name: [.short, .long], help: "The directory of the spool; goes before node.data_dir of the file.")
    var data: String?

    func run() async throws {
        // A peer that goes away while we write to it is an error of that connection, not of the process.
        signal(SIGPIPE, SIG_IGN)
        // Before the file is read nobody has to be told to read it again; the default action would end the process.
        signal(SIGHUP, SIG_IGN)
        Console.needsOutput.store(false, ordering: .relaxed)
        let (settings, warnings) = try Console.orExit("") { () throws(ConfigurationProblems) in
            try loadConfiguration()
        }
        for warning in warnings { Console.error("warning: \(warning)") }
        FileLimit.raise()

        let level = LogLevel(Logger.Level(settings.log.level))
        let format = settings.log.format
        LoggingSystem.bootstrap { _ in LogLines(level: level, isJSON: format == .json) }
        defer { LogOutput.standardError.flush() }
        let logger = Logger(label: "drawbridge")

        let signals = Signals.of([SIGTERM, SIGINT, SIGHUP])
        let server: BrokerServer
        do throws(StartError) {
            server = try await BrokerServer.start(settings, logger: logger, logLevel: level)
        } catch {
            LogOutput.standardError.flush()
            throw Console.failure("drawbridge: \(error)")
        }
        LogOutput.standardError.flush()
        announce(server, settings)
        for await signal in signals {
            guard signal == SIGHUP else { break }
            await reload(server, logger)
        }
        await server.shutdown()
    }

    private func loadConfiguration() throws(ConfigurationProblems) -> (Configuration, warnings: [ConfigurationProblem])
    {
        var (configuration, warnings) = (Configuration.default, [ConfigurationProblem]())
        if let config {
            let file = try ConfigurationFile.load(path: config, environment: ProcessInfo.processInfo.environment)
            (configuration, warnings) = (file.configuration, file.warnings)
        }
        if let data { configuration.node.dataDirectory = data }
        return (configuration, warnings)
    }

    private func reload(_ server: BrokerServer, _ logger: Logger) async {
        do throws(ConfigurationProblems) {
            let (configuration, warnings) = try loadConfiguration()
            for warning in warnings {
                logger.warning("configuration", metadata: ["detail": .string(warning.description)])
            }
            await server.reload(configuration)
        } catch {
            for problem in error.problems {
                logger.error(
                    "configuration not taken, everything stays as it was",
                    metadata: ["detail": .string(problem.description)]
                )
            }
        }
    }

    /// Says where to go, for people; the last line for programs that wait.
    private func announce(_ server: BrokerServer, _ settings: Configuration) {
        Console.say("\(Version.text), node \(settings.node.id)")
        for endpoint in server.endpoints {
            if let path = endpoint.unixPath {
                Console.say("  \(endpoint.name): unix:\(path)")
                continue
            }
            let host = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
            let s = endpoint.isEncrypted ? "s" : ""
            switch endpoint.kind {
            case .mqtt:
                Console.say("  \(endpoint.name): mqtt\(s)://\(host):\(endpoint.port)")
            case .mux(let mux):
                Console.say("  \(endpoint.name): \(host):\(endpoint.port) for \(mux.serves.joined(separator: ", "))")
            case .web(let web):
                let path = web.paths.first ?? "/mqtt"
                Console.say("  \(endpoint.name): http\(s)://\(host):\(endpoint.port)/")
                Console.say("       ws\(s)://\(host):\(endpoint.port)\(path)")
                let login = settings.authentication.chain.contains(.users) ? "-u NAME " : ""
                Console.say("       curl \(login)-d hello http\(s)://\(host):\(endpoint.port)/v1/publish/chat/lobby")
            }
        }
        for link in settings.links {
            let addresses = link.addresses.map(\.description).joined(separator: ", ")
            Console.say("  link \(link.name): \(addresses)")
        }
        Console.say("  spool: \(settings.node.dataDirectory)")
        Console.say("ready")
    }
}

/// Signals as a sequence, so that the end of a process is something to wait for.
enum Signals {
    static func of(_ numbers: [Int32]) -> AsyncStream<Int32> {
        AsyncStream { continuation in
            let sources = numbers.map { number in
                // The default action would end the process before we hear of it.
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler { continuation.yield(number) }
                source.resume()
                return SignalSource(source)
            }
            continuation.onTermination = { _ in for source in sources { source.cancel() } }
        }
    }

    /// Dispatch sources may be used from any thread, which their type does not say on every platform.
    private struct SignalSource: @unchecked Sendable {
        private let source: any DispatchSourceSignal
        init(_ source: any DispatchSourceSignal) { self.source = source }
        func cancel() { source.cancel() }
    }
}

/// One descriptor a connection: take as many as the system lets us.
enum FileLimit {
    static func raise() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

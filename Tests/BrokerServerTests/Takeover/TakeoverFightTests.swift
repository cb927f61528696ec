import BrokerServer
import Foundation
import Logging
import NIOCore
import Testing

/// Whoever has the client id of somebody else throws him out, and both come back at once: a misconfiguration that every
/// broker meets. Here very many do so at the same time.
@Suite("Takeover fights")
struct TakeoverFightTests {
    private static let environment = ProcessInfo.processInfo.environment
    /// How many event loops the broker has.
    private static let loopCounts =
        environment["DRAWBRIDGE_FIGHT_LOOPS"].map { $0.split(separator: " ").compactMap { Int($0) } } ?? [1, 2, 4]

    /// A short one, or one as large as the environment says: `make fight`.
    private var settings: TakeoverFight.Settings {
        let environment = Self.environment
        var settings = TakeoverFight.Settings()
        if let clients = environment["DRAWBRIDGE_FIGHT_CLIENTS"].flatMap({ Int($0) }) {
            settings.clients = clients
            settings.claimingMax = min(2_000, clients / 2)
        }
        if let ids = environment["DRAWBRIDGE_FIGHT_IDS"].flatMap({ Int($0) }) { settings.ids = ids }
        if let seconds = environment["DRAWBRIDGE_FIGHT_SECONDS"].flatMap({ Int64($0) }) {
            settings.duration = .seconds(seconds)
        }
        settings.seed = .random(in: 1...1_000_000)
        return settings
    }

    @Test(
        "one has the id at a time, and its session stays whole [5:MQTT-3.1.4-3] [311:MQTT-3.1.4-2]",
        arguments: loopCounts
    )
    func fight(_ loopCount: Int) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "drawbridge-\(UUID().uuidString)").path()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var configuration = Configuration(
            node: NodeConfiguration(id: "arena", dataDirectory: folder),
            listeners: [
                ListenerConfiguration(name: "mqtt", kind: .mqtt, addresses: [BindAddress(host: "127.0.0.1", port: 0)])
            ]
        )
        configuration.node.loopCount = loopCount
        configuration.metrics.systemInterval = .seconds(1)
        var logger = Logger(label: "fight")
        logger.logLevel = .critical
        let server = try await BrokerServer.start(configuration, logger: logger)
        let port = try #require(server.endpoints.first?.port)
        let settings = settings
        let outcome = try await TakeoverFight.run(settings, port: port)
        await server.shutdown()
        print(
            "\(loopCount) loops, \(settings)\n\(outcome.accepted) accepted, \(outcome.thrownOut) told that they were thrown out,"
        )
        print("\(outcome.published) messages published, \(outcome.heard) heard")
        #expect(outcome.complaints == [])
        // Or it was no fight.
        #expect(outcome.accepted >= TakeoverFight.acceptedMin * settings.ids && outcome.thrownOut > 0)
    }
}

import BrokerServer
import Foundation
import Logging
import MQTTCodec
import NIOCore

/// A publisher and a subscriber of a running broker over loopback: what the broker allocates between the write of one and
/// the read of the other, acknowledgements included.
struct RoundTripBenchmark: AllocationBenchmark {
    let name: String
    let messages = 100
    private let qos: QoS
    /// Messages that the publisher writes at once.
    private let together: Int
    private let publisher: BlockingClient
    private let subscriber: BlockingClient
    private let wire: ByteBuffer

    init(_ name: String, _ qos: QoS, together: Int, port: Int) throws(BenchmarkProblem) {
        self.name = name
        self.qos = qos
        self.together = together
        wire = Wire.publishes(together, qos, .v3_1_1)
        subscriber = try BlockingClient("subscriber", port: port, expecting: messages)
        try subscriber.send(try Wire.subscribe(qos, .v3_1_1))
        try subscriber.hear(.subAck, 1)
        subscriber.forget()
        publisher = try BlockingClient("publisher", port: port, expecting: messages)
        publisher.forget()
    }

    mutating func round(_ meter: inout AllocationMeter) throws(BenchmarkProblem) {
        try meter.count { () throws(BenchmarkProblem) in
            for count in stride(from: together, through: messages, by: together) { try exchange(upTo: count) }
        }
        publisher.forget()
        subscriber.forget()
    }

    private func exchange(upTo count: Int) throws(BenchmarkProblem) {
        try publisher.send(wire)
        try subscriber.hear(.publish, count)
        switch qos {
        case .atMostOnce: break
        case .atLeastOnce:
            try subscriber.answer(.pubAck)
            try publisher.hear(.pubAck, count)
        case .exactlyOnce:
            try publisher.hear(.pubRec, count)
            try publisher.answer(.pubRel)
            try publisher.hear(.pubComp, count)
            try subscriber.answer(.pubRec)
            try subscriber.hear(.pubRel, count)
            try subscriber.answer(.pubComp)
        }
    }

    static let kinds: [(name: String, qos: QoS, together: Int)] = [
        ("round trip, QoS 0, 100 at once", .atMostOnce, 100),
        ("round trip, QoS 1, 100 at once", .atLeastOnce, 100),
        ("round trip, QoS 2, 100 at once", .exactlyOnce, 100),
        ("round trip, QoS 0, one at a time", .atMostOnce, 1),
        ("round trip, QoS 1, one at a time", .atLeastOnce, 1),
    ]

    /// Starts a broker of its own on a free port, in a fresh folder, and stops it when the work is done.
    static func withBroker<Result>(_ work: (_ port: Int) async throws -> Result) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "drawbridge-guard-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer {
            do {
                try FileManager.default.removeItem(at: folder)
            } catch {
                // What stays in a folder for temporary things is cleared by the system.
            }
        }
        var configuration = Configuration(
            node: NodeConfiguration(id: "guard", dataDirectory: folder.path),
            listeners: [
                ListenerConfiguration(name: "mqtt", kind: .mqtt, addresses: [BindAddress(host: "127.0.0.1", port: 0)])
            ]
        )
        configuration.limits.inflightMax = 65_535
        configuration.limits.receiveMaximum = 65_535
        // Told once a minute unless switched off, and then to nobody: no part of a message.
        configuration.metrics.systemInterval = .zero
        let server = try await BrokerServer.start(
            configuration, logger: Logger(label: "guard") { _ in SwiftLogNoOpLogHandler() })
        guard let port = server.endpoints.first?.port else { throw BenchmarkProblem("the broker opened no port") }
        do {
            let result = try await work(port)
            await server.shutdown()
            return result
        } catch {
            await server.shutdown()
            throw error
        }
    }
}

import BrokerServer
import Certificates
import Foundation
import Logging
import NIOCore
import Synchronization
import Testing

@Suite("Certificates that change while the node runs")
struct WatchedTLSTests {
    private let log = NotedLines()
    private let first: TestCertificates
    private let folder: String
    private let watched: WatchedTLS

    init() throws {
        first = try TestCertificates(days: 100)
        folder = try first.write()
        let tls = ListenerTLSConfiguration(certificatePath: folder + "/server.crt", keyPath: folder + "/server.key")
        watched = try TLSDoor(
            tls, of: "listener mqtts", applicationProtocols: ["mqtt"], timeout: .seconds(1),
            logger: Logger(label: "test")
        ).watched
    }

    private func write(_ text: String, _ name: String) throws {
        // As certbot and people do it: a new file takes the old one's place.
        try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
    }

    private func look(_ count: Int = 1) { for _ in 0..<count { watched.look(log.logger) } }

    private var days: Int64? { watched.certificate?.daysLeft(now: TestCertificates.now - 60) }

    @Test("nothing changed: nothing is said, however often one looks")
    func quiet() {
        look(5)
        #expect(log.lines.isEmpty)
        #expect(days == 100)
    }

    @Test("a new pair is used as soon as it stands still")
    func renewed() throws {
        let second = try TestCertificates(days: 200)
        try write(try second.server.certificatePEM(), "server.crt")
        look()
        // The certificate without its key: not a moment to load.
        try write(second.server.keyPEM, "server.key")
        look()
        #expect(days == 100)
        look()
        #expect(days == 200)
        look(3)
        #expect(log.lines == ["notice new certificate"])
    }

    @Test("files that cannot be used are said once, and the old certificate stays until they are mended")
    func broken() throws {
        let second = try TestCertificates(days: 200)
        try write(try second.server.certificatePEM(), "server.crt")
        look(5)
        #expect(days == 100)
        #expect(log.lines == ["error new certificate files cannot be used, the old ones stay"])
        #expect(log.details.first?.contains("is not the key of the first certificate") == true)

        try write("", "server.key")
        look(5)
        #expect(log.lines.count == 2)
        #expect(days == 100)

        try FileManager.default.removeItem(atPath: folder + "/server.key")
        look(5)
        #expect(log.lines.count == 3)
        #expect(log.details.last?.contains("No such file or directory") == true)

        try write(second.server.keyPEM, "server.key")
        look(2)
        #expect(days == 200)
        #expect(log.lines.last == "notice new certificate")
    }

    @Test("going back to the old files after bad ones is noticed too")
    func restored() throws {
        try write("nonsense", "server.crt")
        look(2)
        try write(try first.server.certificatePEM(), "server.crt")
        look(2)
        #expect(log.lines.count == 2)
        #expect(days == 100)
    }
}

/// Keeps what is logged.
final class NotedLines: Sendable {
    private let notes = Mutex<[(line: String, detail: String)]>([])

    var lines: [String] { notes.withLock { $0.map(\.line) } }
    var details: [String] { notes.withLock { $0.map(\.detail) } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(notes: self) }
        logger.logLevel = .trace
        return logger
    }

    private struct Handler: LogHandler {
        let notes: NotedLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let detail = event.metadata?["detail"].map { "\($0)" } ?? ""
            notes.notes.withLock { $0.append(("\(event.level) \(event.message)", detail)) }
        }
    }
}

import BrokerCore
import NIOCore
import NIOHTTP1
import NIOPosix
import Spool

/// `GET /metrics`: the node in numbers, for Prometheus.
package struct MetricsRoute: Sendable {
    package static let path = "/metrics"

    private let spool: Spool
    private let shard: SharedShard
    private let certificates: CertificateWatch
    private let node: String

    init(_ spool: Spool, _ shard: SharedShard, _ certificates: CertificateWatch, node: String) {
        self.spool = spool
        self.shard = shard
        self.certificates = certificates
        self.node = node
    }

    /// - Parameter onWebPort: for whoever reaches a web port.
    func answer(onWebPort: Bool) async -> HTTPAnswer {
        let reading = await withCheckedContinuation { shard.post(.metrics(onWebPort: onWebPort, $0)) }
        guard let reading else { return Self.off }
        let (spool, node, certificates) = (spool, node, certificates.statuses)
        do {
            // Reads of the disk belong on no event loop.
            return try await NIOThreadPool.singleton.runIfActive {
                Self.answer(NodeReading(reading, spool, node: node, certificates, now: ShardRunner.wall))
            }
        } catch {
            return .problem(.serviceUnavailable, "The node is shutting down.")
        }
    }

    package static let off = HTTPAnswer.problem(
        .notFound,
        "Metrics are told here when the configuration has prometheus = true in [metrics]."
    )

    private static func answer(_ reading: NodeReading) -> HTTPAnswer {
        var text = MetricsText()
        for metric in MetricNames.node { text.write(metric, of: [([], reading)]) }
        let links = reading.shard.links.map { account in
            (labels: [MetricLabel("link", account.name)], subject: LinkReading(account, of: reading))
        }
        for metric in MetricNames.link { text.write(metric, of: links) }
        return HTTPAnswer(
            status: .ok,
            headers: [
                "Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            ],
            body: ByteBuffer(string: text.text)
        )
    }
}

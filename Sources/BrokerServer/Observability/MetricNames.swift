import BrokerCore
import Certificates
import Spool

/// Every metric, once. docs/configuration.md lists them.
package enum MetricNames {
    package static let node: [Metric<NodeReading>] = clients + traffic + drops + spool + process

    private static let clients: [Metric<NodeReading>] = [
        .each("drawbridge_info", .gauge, "Always 1; which version runs under which name of a node.") {
            [([MetricLabel("version", Version.number), MetricLabel("node", $0.name)], 1)]
        },
        .gauge("drawbridge_uptime_seconds", "Since the start of the node.") { Double($0.figures.uptimeSeconds) },
        .gauge("drawbridge_clients_connected", "Clients that are connected.") { Double($0.figures.clientsConnected) },
        .gauge("drawbridge_clients_away", "Sessions that wait for their clients.") { Double($0.figures.clientsAway) },
        .gauge("drawbridge_subscriptions", "Subscriptions of clients.") { Double($0.figures.subscriptions) },
        .gauge("drawbridge_shared_subscriptions", "Subscriptions of clients to share groups.") {
            Double($0.figures.sharedSubscriptions)
        },
        .gauge("drawbridge_retained_messages", "Retained messages.") { Double($0.figures.retained) },
        .gauge("drawbridge_alarms", "Alarms that are raised.") { Double($0.figures.alarms) },
        .counter("drawbridge_connections_total", "Network connections of clients.") { $0.counters.opened },
        .counter("drawbridge_connects_total", "CONNECT packets.") { $0.counters.connects },
        .counter("drawbridge_sessions_expired_total", "Sessions whose client did not return in time.") {
            $0.counters.sessionsExpired
        },
    ]

    private static let traffic: [Metric<NodeReading>] = [
        .counter("drawbridge_messages_received_total", "Messages that were accepted, over MQTT and HTTP.") {
            $0.counters.received
        },
        .counter("drawbridge_messages_sent_total", "PUBLISH packets to clients and upstreams.") { $0.counters.sent },
        .counter("drawbridge_payload_received_bytes_total", "Payloads of the messages that were accepted.") {
            $0.counters.payloadBytesReceived
        },
        .counter("drawbridge_payload_sent_bytes_total", "Payloads of the messages that were sent.") {
            $0.counters.payloadBytesSent
        },
        .counter("drawbridge_packets_received_total", "Control packets of any type.") { $0.counters.packetsReceived },
        .counter("drawbridge_packets_sent_total", "Control packets of any type.") { $0.counters.packetsSent },
        .counter("drawbridge_received_bytes_total", "MQTT, without TLS and frames of WebSocket.") {
            $0.counters.bytesReceived
        },
        .counter("drawbridge_sent_bytes_total", "MQTT, without TLS and frames of WebSocket.") {
            $0.counters.bytesSent
        },
    ]

    private static let drops: [Metric<NodeReading>] = [
        .drops("drawbridge_messages_dropped", "What receivers did not get, each receiver counted.") {
            $0.figures.drops
        },
        .counter("drawbridge_publishes_refused_total", "Publishes for which there was no room (0x97, 507).") {
            $0.counters.refused
        },
        .counter("drawbridge_publishes_held_back_total", "Publishes of version 3 that waited until there was room.") {
            $0.counters.heldBack
        },
        .each("drawbridge_denied_total", .counter, "What the access rules denied.") { reading in
            let counters = reading.counters
            let denied = [
                ("publish", counters.publishesDenied), ("subscribe", counters.subscribesDenied),
                ("delivery", counters.deliveriesDenied),
            ]
            return denied.map { ([MetricLabel("what", $0)], Double($1)) }
        },
        .counter("drawbridge_link_repeats_total", "Messages that a link brought again.") { $0.counters.repeatsOfLinks },
        .counter("drawbridge_loops_cut_total", "Messages that came back to their node, or came by a second way.") {
            $0.counters.loopsCut
        },
    ]

    private static let spool: [Metric<NodeReading>] = [
        .gauge("drawbridge_spool_healthy", "1, or 0 while the spool cannot write.") { $0.isSpoolHealthy ? 1 : 0 },
        .gauge("drawbridge_spool_refusing", "1 while new messages are refused.") {
            $0.isRefusing ? 1 : 0
        },
        .gauge("drawbridge_spool_messages", "Messages that wait, each once.") {
            Double($0.figures.node.storedMessages)
        },
        .gauge("drawbridge_spool_bytes", "Their topics, payloads and properties.") {
            Double($0.figures.node.storedBytes)
        },
        .each("drawbridge_spool_disk_bytes", .gauge, "Files of the spool: the database, and its write-ahead log.") {
            [
                ([MetricLabel("file", "database")], Double($0.diskBytes.database)),
                ([MetricLabel("file", "log")], Double($0.diskBytes.log)),
            ]
        },
        .counter("drawbridge_spool_commits_total", "Transactions.") { $0.statistics.commits },
        .counter("drawbridge_spool_rows_written_total", "Messages that became rows.") { $0.statistics.rowsWritten },
        .counter("drawbridge_spool_rows_elided_total", "Messages that needed no row.") { $0.statistics.rowsElided },
        .counter("drawbridge_spool_failures_total", "Tries to write that failed.") { $0.statistics.failures },
        .counter("drawbridge_spool_damaged_rows_total", "Rows that were found damaged.") { $0.statistics.damagedRows },
        .counter("drawbridge_spool_set_aside_total", "Records that SQLite did not take.") {
            $0.statistics.recordsSetAside
        },
    ]

    private static let process: [Metric<NodeReading>] = [
        .each("drawbridge_certificate_expiry_timestamp_seconds", .gauge, "When a certificate of this node ends.") {
            // A link may have one for TLS and for WebSocket each; the first that ends counts.
            Dictionary(grouping: $0.certificates, by: \.owner).sorted { $0.key < $1.key }.map { owner, certificates in
                let ends = certificates.map(\.facts.notAfter).min() ?? 0
                return ([MetricLabel("of", owner)], Double(ends))
            }
        },
        .gauge("process_resident_memory_bytes", "Resident memory.") { $0.usage.map { Double($0.residentBytes) } },
        .each("process_cpu_seconds_total", .counter, "CPU time, user and system.") { reading in
            reading.usage.map { [([], $0.cpuSeconds)] } ?? []
        },
    ]

    package static let link: [Metric<LinkReading>] = [
        .gauge("drawbridge_link_up", "1 while the link is live or catching up.") {
            $0.account.state == .live || $0.account.state == .catchingUp ? 1 : 0
        },
        .each("drawbridge_link_state", .gauge, "1 for the state that the link is in.") { reading in
            LinkMachine.State.allCases.map { state in
                ([MetricLabel("state", state.rawValue)], reading.account.state == state ? 1 : 0)
            }
        },
        .gauge("drawbridge_link_state_seconds", "For how long; live and catching up are one here.") {
            Double($0.link.stateSeconds)
        },
        .each("drawbridge_link_last_error", .gauge, "Always 1; why it is not live, or was not lately.") { reading in
            reading.link.lastError.map { [([MetricLabel("error", $0)], 1)] } ?? []
        },
        .gauge("drawbridge_link_queue_messages", "Messages that wait for the upstream.") { Double($0.link.queue) },
        .gauge("drawbridge_link_queue_bytes", "Their topics, payloads and properties.") { Double($0.link.queueBytes) },
        .gauge("drawbridge_link_queue_oldest_seconds", "Age of the oldest of them; not there when none waits.") {
            $0.link.oldestSeconds.map(Double.init)
        },
        .gauge("drawbridge_link_drain_seconds", "Until the queue is empty, at this pace.") {
            $0.link.drainSeconds.map(Double.init)
        },
        .counter("drawbridge_link_messages_sent_total", "Messages that were sent; what was sent again counts again.") {
            $0.link.sent
        },
        .counter("drawbridge_link_messages_received_total", "Messages that came from the upstream.") {
            $0.link.received
        },
        .counter("drawbridge_link_messages_delivered_total", "What the upstream acknowledged of what is stored.") {
            $0.link.delivered
        },
        .drops("drawbridge_link_messages_dropped", "What of the queue the upstream did not get.") {
            $0.account.tally.dropped
        },
        .gauge("drawbridge_link_probe_seconds", "How long the last probe took; not there where none returns.") {
            $0.account.probeDelay.map { delay in
                let (seconds, attoseconds) = delay.components
                return Double(seconds) + Double(attoseconds) / 1e18
            }
        },
    ]
}

extension NodeReading {
    fileprivate var figures: SystemFigures { shard.figures }
    fileprivate var counters: Counters { shard.figures.counters }
}

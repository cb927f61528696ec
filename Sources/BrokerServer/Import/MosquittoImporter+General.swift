/// `[limits]`, `[queue]`, `[log]` and their like.
extension MosquittoImporter {
    mutating func generalTables() -> TOMLText {
        var toml = TOMLText()
        for table in [logTable(), limitsTable(), queueTable(), otherTables()] where !table.isEmpty {
            toml.blank()
            toml.append(table)
        }
        moves()
        return toml
    }

    private mutating func logTable() -> TOMLText {
        var toml = TOMLText()
        let lines = broker.takeAll("log_type")
        guard let last = lines.last else { return toml }
        for line in lines { keep(line, .mapped) }
        let types = Set(lines.map(\.value))
        let level =
            [
                ("debug", ["all", "debug"]), ("info", ["information", "subscribe", "unsubscribe", "websockets"]),
                ("notice", ["notice"]), ("warning", ["warning"]), ("error", ["error", "none"]),
            ].first { !types.isDisjoint(with: $0.1) }?.0 ?? "info"
        toml.heading("[log]")
        toml.entry("level", text: level, from: last)
        return toml
    }

    /// A whole number within bounds; what is outside of them becomes the nearest that is inside.
    private mutating func number(
        _ line: MosquittoLine,
        in range: ClosedRange<Int>,
        unlimited: Int? = nil,
        _ write: (Int) -> Void
    ) {
        guard let value = line.integer else { return keep(line, .unsupported, "it is no number") }
        if value <= 0, let unlimited {
            write(unlimited)
            return keep(line, .mapped, "no limit there, the highest here")
        }
        let bounded = min(max(value, range.lowerBound), range.upperBound)
        write(bounded)
        keep(line, .mapped, bounded == value ? "" : "\(bounded) is the nearest that can be said")
    }

    private mutating func limitsTable() -> TOMLText {
        var toml = TOMLText()
        var packetBytes = self.packetBytes
        defer { self.packetBytes = packetBytes }
        if let line = broker.take("max_inflight_messages") {
            number(line, in: 1...65_535, unlimited: 65_535) { toml.entry("inflight", "\($0)", from: line) }
        }
        let packet = broker.take("max_packet_size")
        if let line = packet {
            number(line, in: 1_024...268_435_460, unlimited: 268_435_460) {
                packetBytes = $0
                toml.entry("max_packet", "\($0)", from: line)
            }
        }
        if let line = broker.take("message_size_limit") {
            if packet != nil {
                keep(line, .notNeeded, "max_packet_size bounds it")
            } else if line.integer == 0 {
                packetBytes = 268_435_460
                toml.entry("max_packet", "268435460", from: line)
                keep(line, .mapped, "no limit there, the highest here")
            } else {
                // What it bounds is the payload; topic and properties come on top.
                number(line, in: 1...268_300_000) {
                    packetBytes = $0 + 131_072
                    toml.entry("max_packet", "\($0 + 131_072)", from: line)
                }
            }
        } else if packet == nil {
            warn(nil, "messages may have 1 MiB here and 256 MB in mosquitto; limits.max_packet says how much")
        }
        if let line = broker.take(anyOf: ["global_max_connections", "global_max_clients"]) {
            number(line, in: 1...1_000_000, unlimited: 1_000_000) {
                toml.entry("max_connections", "\($0)", from: line)
            }
        } else if let most = (listeners + [defaultListener]).flatMap(\.lines).filter({ $0.key == "max_connections" })
            .max(by: { ($0.integer ?? 0) < ($1.integer ?? 0) }), let value = most.integer, value > 20_000
        {
            toml.entry("max_connections", "\(min(value, 1_000_000))", from: most)
        }
        if let line = broker.take("max_keepalive") {
            if line.integer == 0 {
                keep(line, .notNeeded, "no limit is the default")
            } else {
                number(line, in: 1...65_535) { toml.entry("max_keep_alive", text: "\($0)s", from: line) }
            }
        }
        if let line = broker.take("retain_available"), let isAvailable = line.boolean {
            toml.entry("retain_available", "\(isAvailable)", from: line)
            keep(line, .mapped)
        }
        if let line = broker.take("persistent_client_expiration") {
            if let seconds = Self.seconds(ofPeriod: line.value) {
                toml.entry("session_expiry", text: "\(seconds / 86_400)d", from: line)
                keep(line, .mapped)
            } else {
                keep(line, .unsupported, "it is no period such as 14d")
            }
        } else {
            warn(
                nil,
                "sessions of clients that stay away end after seven days, in mosquitto never: limits.session_expiry"
            )
        }
        guard !toml.isEmpty else { return toml }
        var table = TOMLText()
        table.heading("[limits]")
        table.append(toml)
        return table
    }

    /// `2w`: hours, days, weeks, months of 30 days, years.
    static func seconds(ofPeriod text: String) -> Int? {
        guard let unit = text.last, let count = Int(text.dropLast()), (1...100_000).contains(count) else { return nil }
        let days: Int
        switch unit {
        case "h": return max(count * 3_600, 86_400)
        case "d": days = 1
        case "w": days = 7
        case "m": days = 30
        case "y": days = 365
        default: return nil
        }
        return min(count * days, 49_000) * 86_400
    }

    private mutating func queueTable() -> TOMLText {
        var toml = TOMLText()
        if let line = broker.take("max_queued_messages") {
            number(line, in: 1...1_000_000_000, unlimited: 1_000_000_000) {
                toml.entry("max_messages", "\($0)", from: line)
            }
        }
        // A queue that no message fits into is refused.
        var needsBytes = packetBytes > QueueConfiguration().bytesMax
        if let line = broker.take("max_queued_bytes") {
            if line.integer == 0 {
                keep(line, .unsupported, "a queue always has a bound in bytes, 64 MiB by default")
            } else {
                number(line, in: packetBytes...(1 << 40)) {
                    toml.entry("max_bytes", "\($0)", from: line)
                    needsBytes = false
                }
            }
        }
        if needsBytes {
            toml.comment("No less than limits.max_packet, so that any message fits.")
            toml.entry("max_bytes", "\(packetBytes)")
        }
        guard !toml.isEmpty else { return toml }
        var table = TOMLText()
        table.heading("[queue]")
        table.append(toml)
        table.comment("mosquitto drops the newest; the queues of links are bounded by [link.spool], on disk.")
        table.entry("on_full", text: "drop-newest")
        return table
    }

    private mutating func otherTables() -> TOMLText {
        var toml = TOMLText()
        if let line = broker.take("allow_duplicate_messages"), let isAllowed = line.boolean {
            toml.heading("[subscriptions]")
            toml.entry("overlapping", text: isAllowed ? "each" : "one", from: line)
            keep(line, .mapped)
        }
        if let line = broker.take("sys_interval"), let seconds = line.integer {
            toml.blank()
            toml.heading("[metrics]")
            toml.entry("sys_interval", text: "\(min(max(seconds, 0), 86_400))s", from: line)
            keep(line, .mapped)
        }
        return toml
    }

    /// What does not come along because it is not in the configuration.
    private mutating func moves() {
        guard let line = broker.lines.last(where: { $0.key == "persistence" }), line.boolean == true else { return }
        warn(
            line,
            "what is stored is not moved: retained messages and sessions of mosquitto.db stay behind; let devices "
                + "publish their states again, or copy them with mosquitto_sub --retained-only"
        )
    }
}

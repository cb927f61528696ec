import BrokerCore
import Spool

/// Turns the tables of all files into one `Configuration`; see the extensions for listeners and links.
///
/// Sections of settings are read from every file before any listener or link, since those take defaults from them.
struct ConfigurationReader {
    var configuration: Configuration
    let reading: ConfigurationReading
    /// `[defaults.link]`: what every link starts from.
    var linkDefaults = LinkConfiguration(name: "", addresses: [], clientID: "")
    var listenerPlaces: [Place] = []
    var linkPlaces: [Place] = []

    init(nodeID: String, reading: ConfigurationReading) {
        configuration = Configuration(node: NodeConfiguration(id: nodeID))
        self.reading = reading
    }

    mutating func read(_ roots: [SettingsTable]) {
        reportRepetitions(in: roots)
        for root in roots { readSections(of: root) }
        checkSections(in: roots)
        checkAuthentication(in: roots)
        readListeners(of: roots)
        // A file of users and a listener's `tls.username` both put somebody into the chain, so this comes after them.
        checkUsers(in: roots)
        readLinks(of: roots)
    }

    // MARK: Sections

    private mutating func readSections(of root: SettingsTable) {
        if let table = root.table("node", known: .node) { readNode(table) }
        if let table = root.table("log", known: .log) {
            set(\.log.level, table.choice("level", of: LogConfiguration.Level.self))
            set(\.log.format, table.choice("format", of: LogConfiguration.Format.self))
            set(\.log.denials, table.choice("denials", of: LogConfiguration.Level.self))
        }
        if let table = root.table("durability", known: .durability) { readDurability(table) }
        if let table = root.table("limits", known: .limits) { readLimits(table, into: &configuration.limits) }
        if let table = root.table("queue", known: .queue) { readQueue(table) }
        if let table = root.table("subscriptions", known: .subscriptions) {
            set(\.subscriptions.overlapping, table.choice("overlapping", of: Overlapping.self))
        }
        if let table = root.table("shared_subscriptions", known: .sharing) {
            set(\.sharing.order, table.choice("order", of: SharedOrder.self))
        }
        if let table = root.table("retained", known: .retained) {
            set(\.retained.messagesMax, table.integer("max_messages", in: 0...100_000_000))
            set(\.retained.payloadBytesMax, table.size("max_payload", in: 0...268_435_455))
        }
        if let table = root.table("metrics", known: .metrics) { readMetrics(table) }
        if let table = root.table("auth", known: .authentication) { readAuthentication(table) }
        if let table = root.table("acl", known: .access) { readAccess(table) }
        if let table = root.table("defaults", known: .defaults)?.table("link", known: .linkDefaults) {
            readCommonLinkSettings(table, into: &linkDefaults)
            readLoop(of: table)
        }
    }

    private mutating func readNode(_ table: SettingsTable) {
        if let id = table.string("id") {
            if Identifier.isValid(id) {
                configuration.node.id = id
            } else {
                table.report("id", "must be 1 to 64 letters, digits, `-`, `_` or `.`, found \"\(id)\"")
            }
        }
        set(\.node.dataDirectory, table.nonEmptyString("data_dir"))
        if let reference = table.nonEmptyString("server_reference") {
            if reference.utf8.count <= 1_024,
                reference.unicodeScalars.allSatisfy({ $0.value > 0x1F && $0.value != 0x7F })
            {
                configuration.node.serverReference = reference
            } else {
                table.report("server_reference", "must be at most 1024 bytes without control characters")
            }
        }
        set(\.node.isServerMoved, table.boolean("server_moved"))
        set(\.node.loopCount, table.integer("loops", in: 1...LoopSet.max))
    }

    private mutating func readQueue(_ table: SettingsTable) {
        set(\.queue.messagesMax, table.integer("max_messages", in: 1...1_000_000_000))
        set(\.queue.bytesMax, table.size("max_bytes", in: 1_024...(1 << 40)))
        if let age = queueAge(of: table) { configuration.queue.ageMax = age > .zero ? age : nil }
        set(\.queue.whenFull, table.choice("on_full", of: FullQueuePolicy.self))
        if let marks = table.table("watermarks", known: .watermarks) { readWatermarks(marks) }
    }

    private mutating func readWatermarks(_ table: SettingsTable) {
        set(\.queue.watermarks.low, table.part("low"))
        set(\.queue.watermarks.high, table.part("high"))
        let marks = configuration.queue.watermarks
        guard marks.low >= marks.high else { return }
        table.reading.report("low (\(marks.low)) must be less than high (\(marks.high))", at: table.place)
        configuration.queue.watermarks = .standard
    }

    /// Seconds of a Session Expiry Interval, a four byte integer; the largest means for ever (§3.1.2.11.2).
    static var sessionExpiryRange: ClosedRange<Duration> { .zero ... .seconds(4_294_967_295) }

    // MARK: What settings mean together

    /// Two files must not both decide the same thing: which one wins would depend on names of files.
    private func reportRepetitions(in roots: [SettingsTable]) {
        var first: [String: Place] = [:]
        for root in roots {
            for path in leafPaths(of: root.values, under: "") {
                let place = Place(file: root.place.file, lines: root.place.lines, path: path)
                if let earlier = first[path] {
                    reading.report("is already set at \(earlier.fileAndLine)", at: place)
                } else {
                    first[path] = place
                }
            }
        }
    }

    /// Paths of all values that are neither tables nor lists of tables, which may repeat.
    private func leafPaths(of table: [String: ConfigurationValue], under parent: String) -> [String] {
        var paths: [String] = []
        for key in table.keys.sorted() {
            let path = parent.isEmpty ? key : "\(parent).\(key)"
            switch table[key] {
            case .table(let inner): paths += leafPaths(of: inner, under: path)
            case .array where parent.isEmpty: continue
            default: paths.append(path)
            }
        }
        return paths
    }

    private mutating func checkSections(in roots: [SettingsTable]) {
        let packetBytes = configuration.limits.packetBytesMax
        if configuration.limits.connectBytesMax > packetBytes {
            if let place = place(of: "limits", "max_connect", in: roots) {
                reading.report(
                    "must be at most limits.max_packet (\(SizeText.describe(packetBytes))), found "
                        + SizeText.describe(configuration.limits.connectBytesMax),
                    at: place
                )
            } else {
                configuration.limits.connectBytesMax = packetBytes
            }
        }
        if configuration.queue.bytesMax < packetBytes {
            let key = place(of: "queue", "max_bytes", in: roots)
            reading.report(
                "\(key == nil ? "queue.max_bytes " : "")must be at least limits.max_packet (\(SizeText.describe(packetBytes))), so that any "
                    + "message fits, found \(SizeText.describe(configuration.queue.bytesMax))",
                at: key ?? place(of: "limits", "max_packet", in: roots)
            )
        }
    }

    func place(of section: String, _ key: String, in roots: [SettingsTable]) -> Place? {
        for root in roots {
            if case .table(let values)? = root.values[section], values[key] != nil {
                return root.place.key(section).key(key)
            }
        }
        return nil
    }

    /// Keeps the default where the file says nothing, or nothing usable.
    mutating func set<Value>(_ setting: WritableKeyPath<Configuration, Value>, _ value: Value?) {
        if let value { configuration[keyPath: setting] = value }
    }
}

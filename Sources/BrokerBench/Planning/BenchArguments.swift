package import BrokerServer
import Foundation
import MQTTCodec

/// The flags of `drawbridge bench` as they were given; what they mean, and what is wrong with them, is decided here.
package struct BenchArguments: Sendable {
    /// Whom to call and as whom, as `pub` and `sub` say it too. What bench says in its own way is put into it here.
    package var client = ClientArguments()
    package var usesWebSocket = false
    package var path: String?
    package var version = 5
    package var keepAlive = 300
    /// Nil: true, and false for the sessions of `backlog`.
    package var clean: Bool?
    package var sessionExpiry: Int?
    package var count: Int?
    package var others: Int?
    package var groupSize = 10
    package var startNumber = 0
    package var prefix: String?
    package var interval: Int?
    package var connectRate: Double?
    package var connecting = 100
    package var sources: String?
    package var threads = 1
    package var topic: String?
    package var qos: Int?
    package var isRetained = false
    package var size: Int?
    package var messageInterval: Double?
    package var rate: Double?
    package var window: Int?
    package var inflight: Int?
    package var limit: Int?
    package var shareName: String?
    package var topics = 100
    package var isChurning = false
    package var duration: Double?
    package var warmUp: Double?
    package var patience = 3.0
    package var processes: [Int] = []
    package var allowsLoss = false

    /// Clients or messages a second, one in nearly three hours at least: whoever counts in nanoseconds neither overflows
    /// nor divides by nothing.
    private static let rates = 0.0001...100_000_000
    /// The same between two of them, in milliseconds.
    private static let intervalMax = 10_000_000
    private static let secondsMax = 10_000_000.0

    package init() {}

    /// - Throws: what is wrong with the command line.
    package func settings(_ scenario: BenchScenario) throws(UsageProblem) -> BenchSettings {
        try refuseStrays(scenario)
        let count = try Self.within(1...10_000_000, self.count ?? scenario.defaultCount, "-c")
        var settings = BenchSettings(
            scenario: scenario,
            client: try clientSettings(),
            count: count,
            prefix: prefix ?? Self.randomPrefix(),
            topic: try BenchTopic(topic ?? Self.defaultTopic(scenario))
        )
        settings.hosts = try hosts() ?? [settings.client.address.host]
        settings.others = try Self.within(1...1_000_000, others ?? 1, "--publishers and --subscribers")
        settings.groupSize = try checkedGroupSize(scenario, count: count)
        settings.startNumber = try Self.within(0...1_000_000_000, startNumber, "-n")
        settings.topics = min(count, try Self.within(1...1_000_000, topics, "--topics"))
        settings.threads = try Self.within(1...64, threads, "--threads")
        settings.qos = try quality(scenario)
        settings.isRetained = isRetained
        settings.size = try Self.within(MessageStamp.bytes...(256 << 20) - 70_000, size ?? 64, "-s")
        settings.limit = try limit(scenario, count: count)
        settings.shareName = try checkedShareName()
        settings.isChurning = isChurning
        try setPace(&settings)
        try setConnecting(&settings)
        try setTimes(&settings)
        settings.processes = processes
        settings.allowsLoss = allowsLoss
        try checkTopic(settings)
        return settings
    }

    /// Flags that a scenario would pass over in silence.
    private func refuseStrays(_ scenario: BenchScenario) throws(UsageProblem) {
        guard scenario == .backlog else { return }
        let strays = [
            ("-I", messageInterval != nil), ("--rate", rate != nil), ("--duration", duration != nil),
            ("--warm-up", warmUp != nil), ("-x", sessionExpiry != nil), ("-C true", clean == true),
        ]
        if let stray = strays.first(where: { $0.1 }) {
            throw UsageProblem(
                """
                \(stray.0) means nothing to backlog: its sessions outlive their connections by an hour, and are filled \
                and drained as fast as it goes.
                """
            )
        }
    }

    // MARK: - Who connects

    private func clientSettings() throws(UsageProblem) -> ClientSettings {
        var arguments = client
        arguments.host = try hosts()?.first
        arguments.id = prefix ?? "bench"
        // 0: none, as in MQTT itself; see below.
        if keepAlive != 0 { arguments.keepAlive = try Self.within(5...65_535, keepAlive, "-k") }
        let clean = self.clean ?? true
        arguments.protocolVersion = try protocolVersion()
        arguments.keepsSession = !clean
        if !clean, version == 5 { arguments.sessionExpiryInterval = sessionExpiry ?? 0 }
        if clean, sessionExpiry != nil { arguments.sessionExpiryInterval = sessionExpiry }
        // With a URL of a WebSocket, what follows the host is its path: `-t` names topics here.
        var settings = try arguments.settings(hasTopics: true).0
        if keepAlive == 0 { settings.connect.keepAlive = 0 }
        if usesWebSocket {
            guard arguments.urlOption == nil else {
                throw UsageProblem("--ws and --url cannot be used together; say ws:// or wss://.")
            }
            let isEncrypted = settings.address.transport.isEncrypted
            settings.address = LinkAddress(
                isEncrypted ? .wss : .ws,
                host: settings.address.host,
                port: arguments.port ?? (isEncrypted ? 8084 : 8083),
                path: path
            )
        } else if path != nil {
            throw UsageProblem("--path is for --ws.")
        }
        return settings
    }

    /// - Parameter usual: where none is named.
    /// - Returns: nil when none is named.
    private func hosts() throws(UsageProblem) -> [String]? {
        guard let host = client.host else { return nil }
        let hosts = host.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard hosts.allSatisfy({ !$0.isEmpty }) else { throw UsageProblem("-h is hosts with commas between.") }
        return hosts
    }

    private func protocolVersion() throws(UsageProblem) -> String {
        switch version {
        case 3: "31"
        case 4: "311"
        case 5: "5"
        default: throw UsageProblem("-V is 3 (MQTT 3.1), 4 (3.1.1) or 5.")
        }
    }

    private static func randomPrefix() -> String {
        // Short, so that topics made of it stay below 16 bytes, which need no allocation when they come.
        "b" + String(UInt32.random(in: 0..<60_000_000), radix: 36)
    }

    private func setConnecting(_ settings: inout BenchSettings) throws(UsageProblem) {
        if let interval {
            let milliseconds = try Self.within(0...Self.intervalMax, interval, "-i")
            if milliseconds > 0 { settings.connectRate = 1000 / Double(milliseconds) }
        }
        // As in emqtt_bench: it goes before -i, and 0 leaves it to that.
        if let connectRate, connectRate != 0 {
            settings.connectRate = try Self.within(Self.rates, connectRate, "-R")
        }
        settings.connectingMax = try Self.within(1...100_000, connecting, "--connecting")
        settings.sources = (sources ?? "").split(separator: ",").map(String.init)
    }

    // MARK: - What is sent

    private static func defaultTopic(_ scenario: BenchScenario) -> String {
        // The prefix stands before it, so that runs do not hear one another; see BenchPlan.
        switch scenario {
        case .conn, .fanout: "o"
        case .sub, .pub: ""
        case .pair, .fanin, .chat, .idle, .backlog: "%i"
        }
    }

    private func quality(_ scenario: BenchScenario) throws(UsageProblem) -> QoS {
        guard let quality = UInt8(exactly: qos ?? (scenario == .backlog ? 1 : 0)).flatMap(QoS.init) else {
            throw UsageProblem("-q is 0, 1 or 2.")
        }
        if scenario == .backlog, quality == .atMostOnce {
            throw UsageProblem("backlog needs -q 1 or 2: a broker need not keep messages of QoS 0 for who is away.")
        }
        return quality
    }

    private func checkTopic(_ settings: BenchSettings) throws(UsageProblem) {
        switch settings.scenario {
        case .conn: return
        case .sub, .pub:
            guard let topic, !topic.isEmpty else { throw UsageProblem("\(settings.scenario) needs a topic: -t.") }
        case .pair, .fanin, .chat, .backlog, .idle:
            // Otherwise everybody hears everybody, and that is not what is counted.
            guard settings.topic.isOfOneClient else {
                throw UsageProblem(
                    "The topic of \(settings.scenario) needs %i or %c, so that each publisher or group has its own.")
            }
        case .fanout:
            guard !settings.topic.isOfOneClient else {
                throw UsageProblem("The topic of fanout is one for all: no %i and no %c.")
            }
        }
    }

    private func limit(_ scenario: BenchScenario, count: Int) throws(UsageProblem) -> Int? {
        let limit = self.limit ?? (scenario == .backlog ? 1000 * count : 0)
        guard limit >= 0 else { throw UsageProblem("-L must not be negative.") }
        return limit == 0 ? nil : limit
    }

    private func checkedGroupSize(_ scenario: BenchScenario, count: Int) throws(UsageProblem) -> Int {
        let size = try Self.within(1...10_000, groupSize, "--group")
        guard scenario != .chat || count % size == 0 else {
            throw UsageProblem("\(count) clients (-c) are no groups of \(size): every group is as large (--group).")
        }
        return size
    }

    private func checkedShareName() throws(UsageProblem) -> String? {
        guard let shareName else { return nil }
        guard TopicFilter("$share/\(shareName)/a") != nil, !shareName.contains("/") else {
            throw UsageProblem("\"\(shareName)\" is no name of a shared subscription.")
        }
        guard threads == 1 else { throw UsageProblem("--share is verified on one thread: leave out --threads.") }
        return shareName
    }

    // MARK: - How fast, and how long

    private func setPace(_ settings: inout BenchSettings) throws(UsageProblem) {
        if messageInterval != nil, rate != nil { throw UsageProblem("-I and --rate both say how fast to publish.") }
        let publishers: Int
        switch settings.scenario {
        case .fanout: publishers = settings.others
        default: publishers = settings.count
        }
        if let rate {
            settings.rate = try Self.within(Self.rates, rate, "--rate")
        } else if let messageInterval = messageInterval ?? (settings.scenario == .pub ? 1000 : nil) {
            let milliseconds = try Self.within(0...Double(Self.intervalMax), messageInterval, "-I")
            if milliseconds > 0 {
                let rate = Double(publishers) * 1000 / milliseconds
                settings.rate = try Self.within(Self.rates, rate, "The messages a second of all publishers (-I)")
            }
        }
        let fanoutWindow = min(200, max(10, 20_000 / settings.count))
        let usual =
            switch settings.scenario {
            case .fanout: fanoutWindow
            case .chat: 10
            default: 100
            }
        settings.window = try Self.within(1...30_000, window ?? usual, "--window")
        // With a rate the window shall not slow down whoever sends, or a slow broker looks fast.
        let usualInflight = settings.rate == nil ? settings.window : 16_000
        settings.inflight = try Self.within(0...30_000, inflight ?? usualInflight, "-F")
        if settings.inflight == 0 { settings.inflight = 30_000 }
    }

    private func setTimes(_ settings: inout BenchSettings) throws(UsageProblem) {
        func time(_ seconds: Double, _ flag: String) throws(UsageProblem) -> Duration {
            .seconds(try Self.within(0...Self.secondsMax, seconds, flag))
        }
        if let duration {
            settings.duration = try time(duration, "--duration")
        } else if settings.limit == nil {
            switch settings.scenario {
            case .conn where !isChurning, .sub, .pub: settings.duration = nil
            case .idle: settings.duration = .seconds(3)
            default: settings.duration = .seconds(10)
            }
        }
        let isTimed = settings.limit == nil && (settings.scenario.hearsItself || isChurning)
        settings.warmUp = try time(warmUp ?? (isTimed ? 1 : 0), "--warm-up")
        settings.patience = try time(patience, "--drain")
    }

    private static func within(_ range: ClosedRange<Int>, _ value: Int, _ flag: String) throws(UsageProblem) -> Int {
        guard range.contains(value) else {
            throw UsageProblem("\(flag) must be between \(range.lowerBound) and \(range.upperBound), not \(value).")
        }
        return value
    }

    /// Whatever is no number is in no range.
    private static func within(
        _ range: ClosedRange<Double>,
        _ value: Double,
        _ flag: String
    ) throws(UsageProblem) -> Double {
        guard range.contains(value) else {
            func plain(_ number: Double) -> String { Int(exactly: number).map { "\($0)" } ?? "\(number)" }
            let (least, most) = (plain(range.lowerBound), plain(range.upperBound))
            throw UsageProblem("\(flag) must be between \(least) and \(most), not \(plain(value)).")
        }
        return value
    }
}

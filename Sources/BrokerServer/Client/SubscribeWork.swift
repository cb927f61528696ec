package import MQTTCodec
import NIOCore

/// `drawbridge sub`: prints what comes until it has enough; a lost connection is made again.
package final class SubscribeWork: ClientRun.Work {
    package struct Settings: Sendable {
        package var client: ClientSettings
        package var subscriptions: [Subscribe.Entry]
        package var unsubscriptions: [TopicFilter]
        /// Messages to these are not printed.
        package var excluded: [TopicFilter]
        /// Nil: no end.
        package var countMax: Int?
        /// For everything together; nil: no end.
        package var duration: Duration?
        package var dropsRetained: Bool
        package var endsWhenSubscribed = false
        package var format: MessageFormat

        /// - Parameter topics: of `-t`; the URL's is one more.
        /// - Throws: what is wrong with the command line.
        package init(
            _ arguments: ClientArguments,
            topics: [String],
            unsubscriptions: [String],
            excluded: [String],
            dropsRetained: Bool,
            format: MessageFormat
        ) throws(UsageProblem) {
            let (client, urlTopic) = try arguments.settings(hasTopics: !topics.isEmpty)
            let topics = topics + (urlTopic.map { [$0] } ?? [])
            guard !topics.isEmpty else { throw UsageProblem("You must specify a topic to subscribe to.") }
            var options = SubscriptionOptions(maximumQoS: try arguments.quality())
            if client.connect.version == .v5, dropsRetained { options.retainHandling = .doNotSend }
            self.client = client
            self.subscriptions = try Self.filters(topics, for: "subscription").map {
                Subscribe.Entry(filter: $0, options: options)
            }
            self.unsubscriptions = try Self.filters(unsubscriptions, for: "unsubscribe")
            self.excluded = try Self.filters(excluded, for: "filter")
            self.dropsRetained = dropsRetained
            self.format = format
        }

        private static func filters(_ texts: [String], for use: String) throws(UsageProblem) -> [TopicFilter] {
            var filters: [TopicFilter] = []
            for text in texts {
                guard let filter = TopicFilter(text) else {
                    throw UsageProblem("Invalid \(use) topic '\(text)', are all '+' and '#' wildcards correct?")
                }
                filters.append(filter)
            }
            return filters
        }
    }

    /// mosquitto_sub's word for `-W`.
    private static let timedOutCode: Int32 = 27
    private static let retryDelay = TimeAmount.seconds(1)

    private let settings: Settings
    private let desk: ClientRun.Desk
    private let write: ([UInt8]) -> Bool
    private var client: MQTTClient?
    private var count = 0
    private var wasAccepted = false
    private var status: Int32 = 0

    /// - Parameter write: prints; false when nobody reads any more.
    package init(
        _ settings: Settings,
        at desk: ClientRun.Desk,
        write: @escaping ([UInt8]) -> Bool
    ) throws(TLSProblem) {
        self.settings = settings
        self.desk = desk
        self.write = write
        client = try MQTTClient(
            settings.client, on: desk.loop, say: desk.say, hear: { self.heard($0) }, take: { self.printed($0) })
    }

    package func start() {
        client?.connect()
        guard let duration = settings.duration else { return }
        desk.loop.assumeIsolated().scheduleTask(in: TimeAmount(duration)) {
            guard !self.desk.isOver else { return }
            self.desk.complain("Timed out")
            self.status = Self.timedOutCode
            self.client?.leave()
        }
    }

    package func interrupt() { client?.leave() }

    private func heard(_ event: MQTTClient.Event) {
        guard !desk.isOver else { return }
        switch event {
        case .accepted:
            wasAccepted = true
            client?.subscribe(settings.subscriptions)
            if !settings.unsubscriptions.isEmpty { client?.unsubscribe(settings.unsubscriptions) }
        case .refused(let reason): desk.refused(reason, version: settings.client.connect.version)
        case .subscribed(let reasons): subscribed(reasons)
        case .failed(let failure):
            if wasAccepted {
                client?.connect(after: Self.retryDelay)
            } else {
                desk.failed(failure)
            }
        case .left: desk.finish(status)
        case .settled, .unsent, .mayPublish: break
        }
    }

    private func printed(_ publish: Publish) -> Bool {
        guard !desk.isOver else { return false }
        if settings.dropsRetained, publish.isRetained { return true }
        if settings.excluded.contains(where: { $0.matches(publish.topic) }) { return true }
        guard write(settings.format.bytes(of: publish)) else {
            // Nobody reads: an orderly end for a pipe. The message stays with the broker.
            desk.finish(status)
            return false
        }
        count += 1
        if count == settings.countMax { client?.leave() }
        return true
    }

    private func subscribed(_ reasons: [ReasonCode]) {
        if let first = reasons.first, reasons.allSatisfy(\.isFailure) {
            desk.complain("All subscription requests were denied.")
            status = Int32(first.rawValue)
            client?.leave()
            return
        }
        for (entry, reason) in zip(settings.subscriptions, reasons) where reason.isFailure {
            desk.complain("Warning: Subscription to '\(entry.filter)' was denied: \(reason.name).")
        }
        if settings.endsWhenSubscribed { client?.leave() }
    }
}

package import MQTTCodec
package import NIOCore

/// `drawbridge pub`: one message, or one for each line of standard input, and an exit code that says whether the broker
/// has them.
package final class PublishWork: ClientRun.Work {
    package enum Source: Sendable {
        case message(ByteBuffer)
        /// A message for each line; a lost connection is made again.
        case lines(InputLines)
    }

    package struct Settings: Sendable {
        package var client: ClientSettings
        /// Topic, QoS and retain flag; its payload is replaced.
        package var pattern: Publish
        package var source: Source

        /// - Parameters:
        ///   - topic: of `-t`; the URL's when nil.
        ///   - window: of `-M`.
        ///   - source: nil when nothing says what to send.
        /// - Throws: what is wrong with the command line.
        package init(
            _ arguments: ClientArguments,
            topic: String?,
            isRetained: Bool,
            window: Int,
            source: Source?
        ) throws(UsageProblem) {
            let (client, urlTopic) = try arguments.settings(hasTopics: topic != nil)
            guard let topic = topic ?? urlTopic, let source else {
                throw UsageProblem("Both topic and message must be supplied.")
            }
            // How many levels a topic may have is for the broker to say.
            guard TopicName.isValid(MQTTString(topic), maximumLevels: .max) else {
                throw UsageProblem("Invalid publish topic '\(topic)', does it contain '+' or '#'?")
            }
            guard (1...65_535).contains(window) else { throw UsageProblem("-M must be between 1 and 65535.") }
            self.client = client
            self.client.window = window
            self.pattern = Publish(
                topic: MQTTString(topic),
                payload: ByteBuffer(),
                qos: try arguments.quality(),
                isRetained: isRetained
            )
            self.source = source
        }
    }

    private static let retryDelay = TimeAmount.seconds(1)

    private let settings: Settings
    private let desk: ClientRun.Desk
    private var client: MQTTClient?
    /// Read and not sent; InputLines bounds it.
    private var waiting: CircularBuffer<(number: Int, payload: ByteBuffer)> = []
    private var lastNumber = 0
    /// Sent, and neither acknowledged nor refused.
    private var unsettled = 0
    private var hasStarted = false
    private var isComplete = false
    private var isPumping = false
    /// The exit code unless something else goes wrong.
    private var status: Int32 = 0

    package init(_ settings: Settings, at desk: ClientRun.Desk) throws(TLSProblem) {
        self.settings = settings
        self.desk = desk
        client = try MQTTClient(settings.client, on: desk.loop, say: desk.say, hear: { self.heard($0) })
    }

    package func start() { client?.connect() }
    package func interrupt() { client?.leave() }

    private func heard(_ event: MQTTClient.Event) {
        guard !desk.isOver else { return }
        switch event {
        case .accepted:
            begin()
            pump()
        case .refused(let reason): desk.refused(reason, version: settings.client.connect.version)
        case .settled(let number, let reason): settled(number, reason)
        case .unsent(let number):
            desk.complain("Error: Publish \(number) failed: the connection was lost.")
            status = ClientFailure.lost(nil).exitCode
            oneLess()
        case .mayPublish: pump()
        case .failed(let failure): failed(failure)
        case .left: desk.finish(status)
        case .subscribed: break
        }
    }

    /// Nothing is read before there is somebody to send it to.
    private func begin() {
        guard !hasStarted else { return }
        hasStarted = true
        switch settings.source {
        case .message(let payload):
            waiting.append((1, payload))
            isComplete = true
        case .lines(let lines):
            let work = NIOLoopBound(self, eventLoop: desk.loop)
            lines.start(on: desk.loop) { work.value.read($0) }
        }
    }

    private func read(_ input: InputLines.Input) {
        switch input {
        case .line(let payload):
            lastNumber += 1
            waiting.append((lastNumber, payload))
        case .end: isComplete = true
        case .problem(let words):
            desk.complain("Error: \(words)")
            status = 1
            isComplete = true
        }
        pump()
    }

    private func pump() {
        // What QoS 0 sends is settled while it is sent.
        guard !isPumping, !desk.isOver, let client else { return }
        isPumping = true
        while let (number, payload) = waiting.popFirst() {
            var publish = settings.pattern
            publish.payload = payload
            unsettled += 1
            switch client.publish(publish, number: number) {
            case .send, .sendAndForget: continue
            case .refused(let reason): settled(number, reason)
            case .wait:
                unsettled -= 1
                waiting.prepend((number, payload))
                isPumping = false
                return
            }
        }
        isPumping = false
        if isComplete, unsettled == 0 { client.leave() }
    }

    private func settled(_ number: Int, _ reason: ReasonCode) {
        if reason.isFailure {
            desk.complain("Error: Publish \(number) failed: \(reason.name).")
            status = Int32(reason.rawValue)
        }
        oneLess()
    }

    private func oneLess() {
        unsettled -= 1
        if case .lines(let lines) = settings.source { lines.taken() }
        pump()
    }

    private func failed(_ failure: ClientFailure) {
        // A pipe of lines outlives its connection; one message does not, and whoever waits for it shall know.
        if hasStarted, case .lines = settings.source {
            client?.connect(after: Self.retryDelay)
        } else {
            desk.failed(failure)
        }
    }
}

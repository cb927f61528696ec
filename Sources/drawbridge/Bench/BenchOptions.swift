import ArgumentParser
import BrokerBench
import BrokerServer

/// Options that become part of what a run is told.
protocol BenchOptionGroup: ParsableArguments {
    func apply(to arguments: inout BenchArguments)
}

/// Of scenarios whose clients subscribe, and leave publishing to the run.
struct BenchSubscriberOptions: BenchOptionGroup {
    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions

    func apply(to arguments: inout BenchArguments) {
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
    }
}

/// Of scenarios that publish.
struct BenchPublisherOptions: BenchOptionGroup {
    @OptionGroup var subscriber: BenchSubscriberOptions
    @OptionGroup var messages: BenchMessageOptions

    func apply(to arguments: inout BenchArguments) {
        subscriber.apply(to: &arguments)
        messages.apply(to: &arguments)
    }
}

/// Whom to call, as whom, and how many of them: what all scenarios have in common.
struct BenchClientOptions: BenchOptionGroup {
    @OptionGroup var endpoint: EndpointOptions

    @Option(
        parsing: .unconditional,
        help: "Host, port and login in one: mqtt://, mqtts://, ws:// or wss://[user:password@]host[:port]."
    )
    var url: String?

    @Flag(help: "MQTT over WebSocket.")
    var ws = false

    @Option(help: "Path of the WebSocket. (default: /mqtt)")
    var path: String?

    @Flag(name: [.customShort("S"), .long], help: "TLS.")
    var ssl = false

    @Option(name: [.customShort("V"), .long], help: "MQTT version: 3 (3.1), 4 (3.1.1) or 5.")
    var version = 5

    @Option(name: [.customShort("k"), .customLong("keepalive")], help: "Keep-alive in seconds; 0: none.")
    var keepAlive = 300

    @Option(name: [.customShort("C"), .long], help: "Clean start: true or false. (default: true; backlog false)")
    var clean: Bool?

    @Option(
        name: [.customShort("x"), .customLong("session-expiry")],
        help: "Seconds that a session outlives its connection (MQTT 5)."
    )
    var sessionExpiry: Int?

    @Option(name: [.customShort("n"), .customLong("startnumber")], help: "Number before that of the first client.")
    var startNumber = 0

    @Option(
        parsing: .unconditional,
        help: "Begins all client ids, and topics of scenarios that hear themselves. (default: random)")
    var prefix: String?

    @Option(name: [.customShort("i"), .long], help: "Milliseconds from one client's connecting to the next one's.")
    var interval: Int?

    @Option(name: [.customShort("R"), .customLong("connrate")], help: "Clients a second; goes before -i.")
    var connectRate: Double?

    @Option(help: "Without -i and -R: how many connect at a time, as fast as they are answered.")
    var connecting = 100

    @Option(parsing: .unconditional, help: "Addresses of this machine to connect from, separated by commas.")
    var ifaddr: String?

    @Option(help: "Event loops, a thread each.")
    var threads = 1

    @Option(help: "Seconds to measure; not for backlog.")
    var duration: Double?

    @Option(name: .customLong("warm-up"), help: "Seconds of the same load before. (default: 1; 0 with -L, sub and pub)")
    var warmUp: Double?

    @Option(help: "Seconds without anything new before what is missing counts as lost.")
    var drain = 3.0

    @Option(
        name: .customLong("pid"),
        parsing: .singleValue,
        help: "A process of the broker, for its CPU time and memory; may be repeated."
    )
    var processes: [Int] = []

    @Flag(name: .customLong("allow-loss"), help: "Loss is counted and no failure.")
    var allowsLoss = false

    func apply(to arguments: inout BenchArguments) {
        endpoint.apply(to: &arguments.client)
        arguments.client.urlOption = url
        arguments.usesWebSocket = ws
        arguments.path = path
        arguments.client.tlsUseOsCerts = ssl
        arguments.version = version
        arguments.keepAlive = keepAlive
        arguments.clean = clean
        arguments.sessionExpiry = sessionExpiry
        arguments.startNumber = startNumber
        arguments.prefix = prefix
        arguments.interval = interval
        arguments.connectRate = connectRate
        arguments.connecting = connecting
        arguments.sources = ifaddr
        arguments.threads = threads
        arguments.duration = duration
        arguments.warmUp = warmUp
        arguments.patience = drain
        arguments.processes = processes
        arguments.allowsLoss = allowsLoss
    }
}

/// What is subscribed to and published to.
struct BenchTopicOptions: ParsableArguments {
    @Option(
        name: [.customShort("t"), .long],
        parsing: .unconditional,
        help: "Topic; %u, %c and %i stand for user name, client id and number."
    )
    var topic: String?

    @Option(
        name: [.customShort("q"), .long], parsing: .unconditional, help: "Quality of service. (default: 0, backlog 1)")
    var qos: Int?

    func apply(to arguments: inout BenchArguments) {
        arguments.topic = topic
        arguments.qos = qos
    }
}

/// What is published, and how fast.
struct BenchMessageOptions: ParsableArguments {
    @Option(
        name: [.customShort("I"), .customLong("interval_of_msg"), .customLong("interval-of-msg")],
        help: "Milliseconds from one message of a publisher to its next. (default: 1000 with pub; not for backlog)"
    )
    var messageInterval: Double?

    @Option(help: "Messages a second of all publishers together; the same as -I otherwise.")
    var rate: Double?

    @Option(name: [.customShort("s"), .long], help: "Bytes of a payload, 24 at least.")
    var size = 64

    @Option(
        name: [.customShort("L"), .long], help: "Messages in all; 0: no limit. (default: 0; backlog 1000 a session)")
    var limit: Int?

    @Option(
        name: [.customShort("F"), .long],
        help: "Unacknowledged messages of a publisher, QoS 1 and 2; 0: as many as there are identifiers."
    )
    var inflight: Int?

    @Option(
        help: """
            Without -I and --rate a publisher sends as fast as its messages arrive: this many of them may be under way. \
            (default: 100; chat 10; with many subscribers less)
            """
    )
    var window: Int?

    @Flag(name: [.customShort("r"), .long], help: "Retain messages.")
    var retain = false

    func apply(to arguments: inout BenchArguments) {
        arguments.messageInterval = messageInterval
        arguments.rate = rate
        arguments.size = size
        arguments.limit = limit
        arguments.inflight = inflight
        arguments.window = window
        arguments.isRetained = retain
    }
}

/// How the result is told.
struct BenchOutputOptions: ParsableArguments {
    @Flag(help: "Print the result as one JSON object.")
    var json = false

    @Flag(help: "Print no progress.")
    var quiet = false
}

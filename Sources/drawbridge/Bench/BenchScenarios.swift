import ArgumentParser
import BrokerBench

/// `bench conn`
struct ConnectBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conn",
        abstract: "Clients connect and stay, or come and go.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 200

    @Flag(help: "Each client leaves as soon as it is there, and comes again.")
    var churn = false

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        arguments.count = count
        arguments.isChurning = churn
        try await BenchRunner.run(.conn, arguments, output)
    }
}

/// `bench sub`
struct SubscribeBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sub",
        abstract: "Subscribers; messages of bench pub elsewhere are checked.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 200

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
        arguments.count = count
        try await BenchRunner.run(.sub, arguments, output)
    }
}

/// `bench pub`
struct PublishBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pub",
        abstract: "Publishers; with -q 1 and 2 the time to the acknowledgement is measured.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions
    @OptionGroup var messages: BenchMessageOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 200

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
        messages.apply(to: &arguments)
        arguments.count = count
        try await BenchRunner.run(.pub, arguments, output)
    }
}

/// `bench pair`
struct PairBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pair",
        abstract: "A publisher and a subscriber to each topic.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions
    @OptionGroup var messages: BenchMessageOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Pairs.")
    var count = 100

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
        messages.apply(to: &arguments)
        arguments.count = count
        try await BenchRunner.run(.pair, arguments, output)
    }
}

/// `bench fanin`
struct FanInBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fanin",
        abstract: "Many publishers, and few subscribers who hear all of them.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions
    @OptionGroup var messages: BenchMessageOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Publishers.")
    var count = 50

    @Option(help: "Subscribers.")
    var subscribers = 1

    @Option(
        parsing: .unconditional,
        help: "Subscribers share the messages under this name, so that each goes to one of them.")
    var share: String?

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
        messages.apply(to: &arguments)
        arguments.count = count
        arguments.others = subscribers
        arguments.shareName = share
        try await BenchRunner.run(.fanin, arguments, output)
    }
}

/// `bench fanout`
struct FanOutBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fanout",
        abstract: "Few publishers to one topic, and many subscribers.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions
    @OptionGroup var messages: BenchMessageOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Subscribers.")
    var count = 100

    @Option(help: "Publishers.")
    var publishers = 1

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
        messages.apply(to: &arguments)
        arguments.count = count
        arguments.others = publishers
        try await BenchRunner.run(.fanout, arguments, output)
    }
}

/// `bench idle`
struct IdleBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle",
        abstract: "Subscribers that wait, and hear one message each at the end.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 1000

    @Option(help: "Topics over which they are spread.")
    var topics = 100

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
        arguments.count = count
        arguments.topics = topics
        try await BenchRunner.run(.idle, arguments, output)
    }
}

/// `bench backlog`
struct BacklogBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backlog",
        abstract: "Messages queue for sessions whose clients are away, and are fetched.",
        helpNames: .long
    )

    @OptionGroup var client: BenchClientOptions
    @OptionGroup var topic: BenchTopicOptions
    @OptionGroup var messages: BenchMessageOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Sessions, and publishers.")
    var count = 10

    func run() async throws {
        var arguments = BenchArguments()
        client.apply(to: &arguments)
        topic.apply(to: &arguments)
        messages.apply(to: &arguments)
        arguments.count = count
        try await BenchRunner.run(.backlog, arguments, output)
    }
}

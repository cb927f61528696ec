import ArgumentParser
import BrokerBench

/// A scenario as a subcommand: what the scenarios have in common is said once, in the extension.
protocol ScenarioBench: AsyncParsableCommand {
    associatedtype Load: BenchOptionGroup

    static var scenario: BenchScenario { get }
    static var abstract: String { get }
    var load: Load { get }
    var count: Int { get }
    var output: BenchOutputOptions { get }

    /// What only this scenario asks for.
    func refine(_ arguments: inout BenchArguments)
}

extension ScenarioBench {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "\(scenario)", abstract: abstract, helpNames: .long)
    }

    func refine(_ arguments: inout BenchArguments) {}

    func run() async throws {
        var arguments = BenchArguments()
        load.apply(to: &arguments)
        arguments.count = count
        refine(&arguments)
        try await BenchRunner.run(Self.scenario, arguments, output)
    }
}

struct ConnectBench: ScenarioBench {
    static let scenario = BenchScenario.conn
    static let abstract = "Clients connect and stay, or come and go."

    @OptionGroup var load: BenchClientOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 200

    @Flag(help: "Each client leaves as soon as it is there, and comes again.")
    var churn = false

    func refine(_ arguments: inout BenchArguments) { arguments.isChurning = churn }
}

struct SubscribeBench: ScenarioBench {
    static let scenario = BenchScenario.sub
    static let abstract = "Subscribers; messages of bench pub elsewhere are checked."

    @OptionGroup var load: BenchSubscriberOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 200
}

struct PublishBench: ScenarioBench {
    static let scenario = BenchScenario.pub
    static let abstract = "Publishers; with -q 1 and 2 the time to the acknowledgement is measured."

    @OptionGroup var load: BenchPublisherOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 200
}

struct PairBench: ScenarioBench {
    static let scenario = BenchScenario.pair
    static let abstract = "A publisher and a subscriber to each topic."

    @OptionGroup var load: BenchPublisherOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Pairs.")
    var count = 100
}

struct FanInBench: ScenarioBench {
    static let scenario = BenchScenario.fanin
    static let abstract = "Many publishers, and few subscribers who hear all of them."

    @OptionGroup var load: BenchPublisherOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Publishers.")
    var count = 50

    @Option(help: "Subscribers.")
    var subscribers = 1

    @Option(
        parsing: .unconditional,
        help: "Subscribers share the messages under this name, so that each goes to one of them.")
    var share: String?

    func refine(_ arguments: inout BenchArguments) {
        arguments.others = subscribers
        arguments.shareName = share
    }
}

struct FanOutBench: ScenarioBench {
    static let scenario = BenchScenario.fanout
    static let abstract = "Few publishers to one topic, and many subscribers."

    @OptionGroup var load: BenchPublisherOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Subscribers.")
    var count = 100

    @Option(help: "Publishers.")
    var publishers = 1

    func refine(_ arguments: inout BenchArguments) { arguments.others = publishers }
}

struct ChatBench: ScenarioBench {
    static let scenario = BenchScenario.chat
    static let abstract = "Groups whose members all publish, and all hear one another and themselves."

    @OptionGroup var load: BenchPublisherOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients, in all groups together.")
    var count = 200

    @Option(help: "Members of a group.")
    var group = 10

    func refine(_ arguments: inout BenchArguments) { arguments.groupSize = group }
}

struct IdleBench: ScenarioBench {
    static let scenario = BenchScenario.idle
    static let abstract = "Subscribers that wait, and hear one message each at the end."

    @OptionGroup var load: BenchSubscriberOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Clients.")
    var count = 1000

    @Option(help: "Topics over which they are spread.")
    var topics = 100

    func refine(_ arguments: inout BenchArguments) { arguments.topics = topics }
}

struct BacklogBench: ScenarioBench {
    static let scenario = BenchScenario.backlog
    static let abstract = "Messages queue for sessions whose clients are away, and are fetched."

    @OptionGroup var load: BenchPublisherOptions
    @OptionGroup var output: BenchOutputOptions

    @Option(name: [.customShort("c"), .long], help: "Sessions, and publishers.")
    var count = 10
}

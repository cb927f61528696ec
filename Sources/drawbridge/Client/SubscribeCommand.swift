import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge sub`: mosquitto_sub with our wire.
struct SubscribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sub",
        abstract: "Print messages as they come, with the flags of mosquitto_sub.",
        discussion: """
            A lost connection is made again every second. Ends with 0 after -C messages, Ctrl-C or when nobody reads \
            what is printed; with 27 when -W is over, and with 1, 8 or what the broker answered when it cannot begin.
            """,
        helpNames: .long
    )

    @OptionGroup var broker: BrokerOptions

    @Option(
        name: [.customShort("t"), .long], parsing: .unconditionalSingleValue, help: "Topic filter; may be repeated.")
    var topic: [String] = []

    @Option(
        name: [.customShort("U"), .long],
        parsing: .unconditionalSingleValue,
        help: "Topic filter to unsubscribe from; may be repeated."
    )
    var unsubscribe: [String] = []

    @Option(
        name: [.customShort("T"), .long],
        parsing: .unconditionalSingleValue,
        help: "Topic filter whose messages are not printed; may be repeated."
    )
    var filterOut: [String] = []

    @Option(
        name: [.customShort("C"), .customLong("count")], parsing: .unconditional, help: "End after this many messages.")
    var count: Int?

    @Option(
        name: [.customShort("W"), .customLong("timeout")], parsing: .unconditional, help: "End after this many seconds."
    )
    var seconds: Int?

    @Flag(name: [.customShort("E"), .customLong("exit-on-subscribed")], help: "End when the broker has answered.")
    var endsWhenSubscribed = false

    @Flag(name: [.customShort("R"), .customLong("no-retained")], help: "Do not print stale messages (retained ones).")
    var noRetained = false

    @Flag(name: [.customShort("v"), .long], help: "Print topics too.")
    var verbose = false

    @Flag(name: [.customShort("N"), .customLong("no-line-ends")], help: "No end of line after a message.")
    var endsNoLine = false

    @Option(
        name: [.customShort("F"), .long],
        parsing: .unconditional,
        help: """
            How to print: %t topic, %p payload, %x payload in hexadecimal, %l its bytes, %q QoS, %r retained, \
            %m packet id, %U seconds since 1970, %%.
            """
    )
    var format: String?

    func run() async throws {
        try await ClientCommand.run("sub", isQuiet: broker.quiet) {
            let settings = try settings()
            let complain = ClientCommand.complaints(isQuiet: broker.quiet)
            let talk = ClientCommand.talk(settings.client)
            let stop = Signals.of([SIGINT, SIGTERM])
            let running = try await ClientRun.start(say: talk, complain: complain) { desk in
                try SubscribeWork(settings, at: desk, write: StandardOutput.write)
            }
            Task {
                var isSecond = false
                for await number in stop {
                    // Standard output may take nothing any more, and who asks twice does not want to wait for it.
                    if isSecond { _exit(128 + number) }
                    isSecond = true
                    running.interrupt()
                }
            }
            return try await running.exitCode()
        }
    }

    private func settings() throws(UsageProblem) -> SubscribeWork.Settings {
        var settings = try SubscribeWork.Settings(
            try broker.arguments(),
            topics: topic,
            unsubscriptions: unsubscribe,
            excluded: filterOut,
            dropsRetained: noRetained,
            format: try messageFormat()
        )
        if let count, count < 1 { throw UsageProblem("Invalid message count \"\(count)\".") }
        if let seconds, seconds < 1 { throw UsageProblem("Invalid timeout \"\(seconds)\".") }
        settings.countMax = count
        settings.duration = seconds.map { .seconds($0) }
        settings.endsWhenSubscribed = endsWhenSubscribed
        return settings
    }

    private func messageFormat() throws(UsageProblem) -> MessageFormat {
        guard let format else { return MessageFormat(isVerbose: verbose, endsLine: !endsNoLine) }
        do throws(MessageFormat.Invalid) {
            return try MessageFormat(format, endsLine: !endsNoLine)
        } catch {
            throw UsageProblem("Invalid format specifier '\(error.specifier)'.")
        }
    }
}

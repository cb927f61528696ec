import ArgumentParser
import BrokerServer
import Foundation
import NIOCore

/// `drawbridge pub`: mosquitto_pub with our wire.
struct PublishCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pub",
        abstract: "Publish a message, with the flags of mosquitto_pub.",
        discussion: """
            Ends with 0 when the broker has the message: with -q 1 and 2 after its acknowledgement. Otherwise with 1 \
            (nobody answers, or the command line is wrong), 7 (the connection was lost), 8 (TLS or WebSocket failed), \
            or what the broker answered.
            """,
        helpNames: .long
    )

    @OptionGroup var broker: BrokerOptions

    @Option(name: [.customShort("t"), .long], parsing: .unconditional, help: "Topic.")
    var topic: String?

    @Option(name: [.customShort("m"), .long], parsing: .unconditional, help: "The message.")
    var message: String?

    @Option(name: [.customShort("f"), .long], parsing: .unconditional, help: "A file that holds the message.")
    var file: String?

    @Flag(name: [.customShort("l"), .long], help: "A message for each line of standard input.")
    var stdinLine = false

    @Flag(name: [.customShort("s"), .long], help: "All of standard input is the message.")
    var stdinFile = false

    @Flag(name: [.customShort("n"), .long], help: "A message without a byte, which takes a retained one back.")
    var nullMessage = false

    @Flag(name: [.customShort("r"), .long], help: "Retain the message.")
    var retain = false

    @Option(name: [.customShort("M"), .long], help: "Messages of QoS 1 and 2 on their way at once.")
    var maxInflight = 20

    func run() async throws {
        try await ClientCommand.run("pub", isQuiet: broker.quiet) {
            let settings = try settings()
            let complain = ClientCommand.complaints(isQuiet: broker.quiet)
            let talk = ClientCommand.talk(settings.client)
            // A signal ends it at once; a message that is not acknowledged was never promised.
            let running = try await ClientRun.start(say: talk, complain: complain) { desk in
                try PublishWork(settings, at: desk)
            }
            return try await running.exitCode()
        }
    }

    private func settings() throws(UsageProblem) -> PublishWork.Settings {
        let kinds = [message != nil, file != nil, stdinLine, stdinFile, nullMessage].count { $0 }
        guard kinds <= 1 else { throw UsageProblem("Only one type of message can be sent at once.") }
        try BrokerOptions.checkLength(topic, "-t")
        return try PublishWork.Settings(
            try broker.arguments(),
            topic: topic,
            isRetained: retain,
            window: maxInflight,
            source: kinds == 1 ? try source() : nil
        )
    }

    private func source() throws(UsageProblem) -> PublishWork.Source {
        if stdinLine { return .lines(InputLines(descriptor: STDIN_FILENO, ahead: max(maxInflight, 256))) }
        if let message { return .message(ByteBuffer(string: message)) }
        if let file { return .message(ByteBuffer(bytes: try MessageFile.content(file))) }
        return .message(stdinFile ? ByteBuffer(bytes: try MessageFile.standardInput()) : ByteBuffer())
    }
}

import ArgumentParser
import BrokerServer
import Foundation
import Spool

/// `drawbridge spool`: works on the file of a spool that no node is running on.
struct SpoolCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "spool",
        abstract: "Check, show, compact or copy a spool.",
        subcommands: [
            SpoolCheckCommand.self, SpoolDumpCommand.self, SpoolCompactCommand.self, SpoolBackupCommand.self,
        ]
    )
}

struct SpoolPath: ParsableArguments {
    @Argument(help: "The file of a spool, or the directory that holds spool.sqlite.")
    var path: String
}

/// `drawbridge spool check`: is every page and row as it was written?
struct SpoolCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look for damage in a spool; the status is 1 when there is any.",
        discussion: "Refuses a spool that a node is running on."
    )

    @OptionGroup var file: SpoolPath

    func run() throws {
        let (path, check) = try Console.orExit { () throws(SpoolToolError) in
            let file = try SpoolFile(file.path)
            return (file.path, try file.check())
        }
        let width = check.counts.map(\.name.count).max() ?? 0
        for (name, count) in check.counts {
            print(name + String(repeating: " ", count: width - name.count + 2) + String(count))
        }
        print(
            "schema \(check.schema), opened \(Plain.count(Int(clamping: check.starts), "time")); "
                + "file \(Plain.size(check.fileBytes)), \(Plain.size(check.freeBytes)) of it free; "
                + "log \(Plain.size(check.logBytes))"
        )
        if check.isCopy { print("a copy that `drawbridge spool backup` made") }
        if check.isOpen { print("its last node did not end in good order; the next start takes care of that") }
        for line in check.damage { print("damaged: \(LogText.escaped(line))") }
        guard check.damage.isEmpty else {
            throw Console.failure("drawbridge: \(path) is damaged")
        }
        print("\(path): ok")
    }
}

/// `drawbridge spool dump`: the queue as lines of JSON.
struct SpoolDumpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Print the messages that wait in a spool, one JSON object a line.",
        discussion: "Refuses a spool that a node is running on. Payloads are shown only with --payload."
    )

    @OptionGroup var file: SpoolPath

    @Option(help: "Only what waits for this client id or link.")
    var receiver: String?

    @Option(help: "How many messages at most.")
    var limit: Int?

    @Flag(help: "Print payloads: as text when they are UTF-8, else in base64.")
    var payload = false

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is 0 or more.") }
    }

    func run() throws {
        let damaged = try Console.orExit { () throws(SpoolToolError) in
            try SpoolFile(file.path).eachMessage(
                for: receiver,
                limit: limit ?? .max,
                includingPayload: payload
            ) { print(DumpLine.text($0, includingPayload: payload)) }
        }
        if damaged > 0 {
            throw Console.failure(
                "drawbridge: \(Plain.count(damaged, "damaged row")); `drawbridge spool check` says more")
        }
    }
}

/// A message of the queue as one line of JSON.
enum DumpLine {
    static func text(_ message: DumpedMessage, includingPayload: Bool) -> String {
        var json = JSONText()
        json.object { json in
            json.member("position", Int(clamping: message.position))
            if message.isDamaged {
                json.member("damaged", true)
            } else {
                json.member("id", message.id)
                json.member("topic", message.topic)
                json.member("qos", message.qos)
                json.member("retained", message.isRetained)
                json.member("bytes", message.bytes)
                json.member("came", time(message.came))
                if let expiry = message.expiry { json.member("expiry", time(expiry)) }
            }
            json.array("receivers") { json in
                for receiver in message.receivers {
                    json.object { json in
                        json.member("name", receiver.name)
                        json.member("kind", receiver.kind.word)
                        json.member("qos", receiver.qos)
                    }
                }
            }
            guard includingPayload, !message.isDamaged else { return }
            if let text = String(validating: message.payload, as: UTF8.self) {
                json.member("payload", text)
            } else {
                json.member("payload_base64", Data(message.payload).base64EncodedString())
            }
        }
        return json.text
    }

    static func time(_ microseconds: UInt64) -> String {
        Date(timeIntervalSince1970: Double(microseconds) / 1_000_000)
            .formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}

/// `drawbridge spool compact`: gives the free space of a file back.
struct SpoolCompactCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Rewrite a spool without its free space.",
        discussion: """
            Refuses a spool that a node is running on, and one that is damaged. For a moment it needs as much disk again \
            as the file is large.
            """
    )

    @OptionGroup var file: SpoolPath

    func run() throws {
        let (path, sizes) = try Console.orExit { () throws(SpoolToolError) in
            let file = try SpoolFile(file.path)
            return (file.path, try file.compact())
        }
        print("\(path): \(Plain.size(sizes.before)) before, \(Plain.size(sizes.after)) now")
    }
}

/// `drawbridge spool backup`: a consistent copy, whether a node is running or not.
struct SpoolBackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy the spool of a node, running or not, to a new file.",
        discussion: """
            A running node makes the copy itself and goes on meanwhile; the target is then written with the rights of \
            the node. docs/spool.md says what it means to put an old copy back.
            """
    )

    @OptionGroup var directory: DataDirectory

    @Argument(help: "The file to be made; it must not exist.")
    var target: String

    func run() throws {
        let directory = try directory.path()
        let target = URL(filePath: target).path
        let body = try JSONEncoder().encode(BackupRequest(target: target))
        let copy: (bytes: Int, messages: Int)
        if let answer = try Control.askIfRunning("POST", "/admin/v1/spool/backup", body: body, in: directory) {
            let made = try JSONDecoder().decode(BackupAnswer.self, from: answer)
            copy = (made.bytes, made.messages)
        } else {
            let made = try Console.orExit { () throws(SpoolToolError) in
                try SpoolFile(directory).copy(to: target)
            }
            copy = (made.bytes, made.messages)
        }
        print("\(target): \(Plain.count(copy.messages, "message")), \(Plain.size(copy.bytes))")
    }
}

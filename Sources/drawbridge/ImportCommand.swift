import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge import`: configurations of others as ours.
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Turn the configuration of another broker into one of Drawbridge.",
        subcommands: [ImportMosquittoCommand.self]
    )
}

/// `drawbridge import mosquitto FILE [-o DIR]`.
struct ImportMosquittoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mosquitto",
        abstract: "Import a mosquitto.conf with its listeners, bridges, users and access rules.",
        discussion: """
            Without -o the configuration goes to standard output, and the files that it names (users, passwords of \
            links) are left out. What became of each line goes to standard error: mapped, not needed, or unsupported. \
            The exit code is 0, or 1, and nothing is written, when nothing could be imported.
            """
    )

    @Argument(help: "The mosquitto.conf.")
    var file: String

    @Option(name: [.short, .long], help: "The folder for drawbridge.toml and what it names; made if need be.")
    var output: String?

    @Flag(name: [.short, .long], help: "Overwrite files that are there already.")
    var force = false

    @Flag(name: [.short, .long], help: "Tell of each line, not only of those that are unsupported.")
    var verbose = false

    func run() throws {
        let imported = try Console.orExit { () throws(ImportFailure) in
            try MosquittoImporter.configuration(path: file)
        }
        // What needs no line here is understood all the same.
        if imported.remarks(.mapped).isEmpty, !imported.remarks(.unsupported).isEmpty {
            report(imported)
            throw Console.failure("drawbridge: \(file): no line of it could be imported")
        }
        if let output {
            try Console.orExit { try write(imported.files, to: output) }
        } else if let main = imported.files.first {
            Console.say(String(main.text.dropLast()))
        }
        report(imported)
        sayFiles(imported.files)
    }

    private func report(_ imported: ImportedConfiguration) {
        let counts = ImportRemark.Fate.allCases.map { "\(imported.remarks($0).count) \($0.rawValue)" }
        for remark in imported.remarks where verbose || remark.fate == .unsupported { Console.error("\(remark)") }
        for warning in imported.warnings { Console.error("warning: \(warning)") }
        Console.error("\(imported.remarks.count) lines: \(counts.joined(separator: ", "))")
    }

    private func sayFiles(_ files: [ImportedConfiguration.File]) {
        guard let output else {
            let names = files.dropFirst().map(\.name)
            if !names.isEmpty { Console.error("-o DIR also writes \(names.joined(separator: ", "))") }
            return
        }
        for file in files { Console.error("wrote \(output)/\(file.name)") }
        Console.error("now: drawbridge check --config \(output)/\(files.first?.name ?? "")")
    }

    private struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    private func write(_ files: [ImportedConfiguration.File], to folder: String) throws {
        let manager = FileManager.default
        try OutputFolder.make(folder)
        for file in files {
            let path = "\(folder)/\(file.name)"
            guard let kind = kind(of: path) else { continue }
            // What stands in a folder or behind a link of that name is no older import.
            guard kind == .typeRegular else {
                throw Problem(description: "\(path) is there and is no regular file; it is not overwritten")
            }
            guard force else { throw Problem(description: "\(path) is there already; --force overwrites it") }
        }
        for file in files {
            let path = "\(folder)/\(file.name)"
            if kind(of: path) == .typeRegular { try manager.removeItem(atPath: path) }
            // The rights are there before the first byte is.
            let rights = [FileAttributeKey.posixPermissions: file.isSecret ? 0o600 : 0o644]
            guard manager.createFile(atPath: path, contents: Data(file.text.utf8), attributes: rights) else {
                throw Problem(description: "\(path) cannot be written")
            }
        }
    }

    /// - Returns: what has this name, links not followed; nil when nothing has.
    private func kind(of path: String) -> FileAttributeType? {
        do {
            return try FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
        } catch {
            // If it is there all the same, it cannot be written either, and that is said.
            return nil
        }
    }
}

import ArgumentParser

/// `drawbridge help COMMAND...`: ArgumentParser answers with the last command that it knows, so that a name that is none
/// would look as if it were understood.
enum HelpTopic {
    /// - Parameter arguments: of the process, its own name first.
    /// - Returns: what is wrong with them; nil when help is not asked for, or each name is one of a command.
    static func problem(in arguments: [String]) -> String? {
        guard arguments.dropFirst().first == "help" else { return nil }
        var command: any ParsableCommand.Type = Drawbridge.self
        var path: [String] = []
        for name in arguments.dropFirst(2) where name != "help" && !name.hasPrefix("-") {
            path.append(name)
            let known = command.configuration.subcommands
            guard let next = known.first(where: { $0.configuration.commandName == name }) else {
                return "there is no command \"\(path.joined(separator: " "))\"; `drawbridge help` lists them"
            }
            command = next
        }
        return nil
    }
}

import BrokerServer
import Testing

/// Files of a test, in memory: reading a configuration touches no disk.
struct WrittenFiles {
    var texts: [String: String]
    var readableByAll: Set<String> = []

    var files: ConfigurationFiles {
        let texts = texts
        let readableByAll = readableByAll
        return ConfigurationFiles(
            content: { path throws(ConfigurationFiles.Unreadable) in
                guard let text = texts[path] else {
                    throw ConfigurationFiles.Unreadable(reason: "No such file or directory")
                }
                return ConfigurationFiles.Content(
                    bytes: Array(text.utf8), isReadableByAll: readableByAll.contains(path))
            },
            // Patterns of tests end in `*.toml`.
            matches: { pattern in
                texts.keys.filter { $0.hasPrefix(pattern.prefix { $0 != "*" }) && $0.hasSuffix(".toml") }.sorted()
            }
        )
    }
}

/// Reads `text` as `drawbridge.toml` of a node whose machine is called `host`.
func read(
    _ text: String, _ others: [String: String] = [:], environment: [String: String] = [:]
) throws(ConfigurationProblems) -> ConfigurationFile {
    let written = WrittenFiles(texts: others.merging(["drawbridge.toml": text]) { _, main in main })
    return try ConfigurationFile.load(
        path: "drawbridge.toml", environment: environment, files: written.files, hostName: "host"
    )
}

/// The lines that an operator sees for `text`, warnings included.
func complaints(
    _ text: String, _ others: [String: String] = [:], environment: [String: String] = [:]
) -> [String] {
    do throws(ConfigurationProblems) {
        return try read(text, others, environment: environment).warnings.map { "warning: \($0)" }
    } catch {
        return error.description.split(separator: "\n").map(String.init)
    }
}

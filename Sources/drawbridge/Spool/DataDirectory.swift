import ArgumentParser
import BrokerServer
import Foundation

/// Which node is meant: by its data directory, or by the configuration that names it.
struct DataDirectory: ParsableArguments {
    @Option(name: [.short, .long], help: "The data directory of the node (default: ./drawbridge-data).")
    var data: String?

    @Option(name: [.short, .long], help: "The configuration of the node, which names its data directory.")
    var config: String?

    func path() throws -> String {
        if let data { return data }
        guard let config else { return Configuration.default.node.dataDirectory }
        return try Console.orExit("") { () throws(ConfigurationProblems) in
            let file = try ConfigurationFile.load(path: config, environment: ProcessInfo.processInfo.environment)
            return file.configuration.node.dataDirectory
        }
    }
}

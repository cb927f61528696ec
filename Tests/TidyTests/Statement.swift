import Foundation

/// A sentence of the standard that somebody has to keep: a numbered statement, or one without a number, which goes by
/// its section.
struct Statement: Hashable {
    enum Party: String {
        case server, client, both, sender, receiver
    }

    /// "5" or "311".
    var version: String
    /// `MQTT-3.3.4-9`, or `§3.3.2.3`.
    var id: String
    var section: String
    var party: Party
    var gist: String

    /// As it stands in a comment or in the name of a test.
    var tag: String { "[\(version):\(id)]" }
    /// A server sends and receives; only what clients alone have to do is not its business.
    var concernsServer: Bool { party != .client }

    /// The numbered ones and the sections, in the order of the tables.
    static let all: [Statement] = table("statements.tsv") + table("sections.tsv")

    private static func table(_ name: String) -> [Statement] {
        let text: String
        do {
            text = try String(
                contentsOf: Repository.root.appending(path: "Tests/TidyTests/Resources/\(name)"), encoding: .utf8)
        } catch {
            return []
        }
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count >= 5, let party = Party(rawValue: fields[3]) else { return nil }
            return Statement(version: fields[0], id: fields[1], section: fields[2], party: party, gist: fields[4])
        }
    }
}

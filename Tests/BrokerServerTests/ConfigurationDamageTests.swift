import BrokerServer
import Foundation
import TestSupport
import Testing

@Suite("Configuration files that were damaged")
struct ConfigurationDamageTests {
    @Test(
        "damage anywhere ends in a configuration or in problems that have a line, never in a crash", arguments: 1...8)
    func damage(seed: UInt64) throws {
        let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "drawbridge.example.toml")
        let original = Array(try Data(contentsOf: url))
        let pieces = [
            "\"", "'", "[", "]", "{", "}", "=", ".", ",", "#", "\n", "\r", "\t", "\\", "$", "${", " ", "_", "-", "0",
            "é", "\0",
            "\"\"\"", "\'\'\'", "[[", "1979-05-27 ", "1979-05-27 0", "07:32:00", "0x", "1e", "+inf", "\u{85}",
            "\u{2028}", "\u{A0}",
            "\u{B}",
        ].map { Array($0.utf8) }
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let position = Int.random(in: 0..<bytes.count, using: &generator)
                let piece = pieces[Int.random(in: 0..<pieces.count, using: &generator)]
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes.replaceSubrange(position...position, with: piece)
                case 1: bytes.insert(contentsOf: piece, at: position)
                default: bytes.removeSubrange(position..<min(bytes.count, position + 40))
                }
            }
            let damaged = bytes
            let files = ConfigurationFiles(
                content: { path throws(ConfigurationFiles.Unreadable) in
                    guard path == "x.toml" else { throw ConfigurationFiles.Unreadable(reason: "absent") }
                    return ConfigurationFiles.Content(bytes: damaged)
                },
                matches: { _ in [] }
            )
            do throws(ConfigurationProblems) {
                _ = try ConfigurationFile.load(path: "x.toml", environment: [:], files: files)
            } catch {
                #expect(!error.problems.isEmpty)
                let isPlaced = error.problems.allSatisfy {
                    $0.line != nil || $0.message.hasPrefix("cannot be read") || $0.message == "is not UTF-8 text"
                }
                #expect(isPlaced, "\(error)")
            }
        }
    }
}

import BrokerServer
import Foundation
import Logging

/// Log lines on standard error: text for people, or one JSON object a line.
struct LogLines: LogHandler {
    var metadata: Logger.Metadata = [:]
    private let level: LogLevel
    /// That of one logger, when somebody has set it.
    private var ownLevel: Logger.Level?
    private let isJSON: Bool

    init(level: LogLevel, isJSON: Bool) {
        self.level = level
        self.isJSON = isJSON
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? level.value }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }.mapValues { "\($0)" }
        let lost = LogOutput.standardError.write(line(event.level, "\(event.message)", all))
        guard lost > 0 else { return }
        _ = LogOutput.standardError.write(line(.warning, "log lines were lost", ["detail": "\(lost)"]))
    }

    private func line(_ level: Logger.Level, _ message: String, _ metadata: [String: String]) -> String {
        let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        guard isJSON else {
            let fields = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\"\(Self.quoted($0.value))\"" }
            return "\(time) \(level.rawValue) \(message)\(fields.joined())\n"
        }
        let fields = metadata.merging(["time": time, "level": level.rawValue, "message": message]) { own, _ in own }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(fields), as: UTF8.self) + "\n"
        } catch {
            // Strings under strings can always be encoded; a line that says less is better than none.
            return #"{"message":"a log line that is not JSON"}"# + "\n"
        }
    }

    /// A client id may hold quotation marks, and must not end its field with them.
    private static func quoted(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    }
}

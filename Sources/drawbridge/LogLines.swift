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
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }
        let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        var line: String
        if isJSON {
            var fields: [String: String] = ["time": time, "level": event.level.rawValue, "message": "\(event.message)"]
            for (key, value) in all { fields[key] = "\(value)" }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            do {
                line = String(decoding: try encoder.encode(fields), as: UTF8.self)
            } catch {
                // Strings under strings can always be encoded; a line that says less is better than none.
                line = #"{"message":"a log line that is not JSON"}"#
            }
        } else {
            line = "\(time) \(event.level.rawValue) \(event.message)"
            for (key, value) in all { line += " \(key)=\"\(Self.quoted("\(value)"))\"" }
        }
        line += "\n"
        FileHandle.standardError.write(Data(line.utf8))
    }

    /// A client id may hold quotation marks, and must not end its field with them.
    private static func quoted(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    }
}

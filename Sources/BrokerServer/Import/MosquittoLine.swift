/// One setting of a mosquitto.conf: a word, and the rest of its line.
package struct MosquittoLine: Sendable, Equatable {
    package var file: String
    /// Counted from 1.
    package var number: Int
    package var key: String
    package var value: String

    /// `mosquitto.conf:12`, as comments and remarks name it.
    package var place: String { "\(FileName.last(of: file)):\(number)" }

    /// What is between spaces; `""` stands for nothing.
    var words: [String] {
        value.split(whereSeparator: { $0 == " " || $0 == "\t" }).map { $0 == "\"\"" ? "" : String($0) }
    }

    /// nil for what is neither.
    var boolean: Bool? {
        switch value {
        case "true", "1": true
        case "false", "0": false
        default: nil
        }
    }

    var integer: Int? { Int(value) }

    /// The settings of a text, in order; empty lines and comments say nothing.
    static func lines(of text: String, file: String) -> [MosquittoLine] {
        var lines: [MosquittoLine] = []
        let texts = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, bytes) in texts.enumerated() {
            let line = String(Substring(bytes)).trimmed
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let key = line.prefix { $0 != " " && $0 != "\t" }
            let value = String(line.dropFirst(key.count)).trimmed
            lines.append(MosquittoLine(file: file, number: index + 1, key: String(key), value: value))
        }
        return lines
    }
}

/// Names in paths.
enum FileName {
    static func last(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}

extension StringProtocol {
    /// Without blanks, tabs and line ends at both ends.
    var trimmed: String {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        var bytes = Array(utf8)[...]
        while let first = bytes.first, isBlank(first) { bytes.removeFirst() }
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}

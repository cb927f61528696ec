import TOMLKit

/// A value of a TOML document, copied out of the parser: its nodes live only as long as its root does.
indirect enum ConfigurationValue: Sendable {
    case string(String)
    case integer(Int)
    case double(Double)
    case boolean(Bool)
    case array([ConfigurationValue])
    case table([String: ConfigurationValue])
    /// A date or a time, of which no setting makes use.
    case moment

    /// What was found, as problems say it.
    var found: String {
        switch self {
        case .string(let text): "\"\(text)\""
        case .integer(let number): "\(number)"
        case .double(let number): "\(number)"
        case .boolean(let isTrue): "\(isTrue)"
        case .array: "a list"
        case .table: "a table"
        case .moment: "a date or time"
        }
    }
}

extension ConfigurationValue {
    /// Parses `text`, which holds no NUL: the parser takes a C string.
    ///
    /// - Parameter lines: of this very text; what it found wrong is kept from the parser.
    /// - Returns: the root table.
    static func parse(_ text: String, lines: KeyLines) throws(TOMLSyntaxError) -> [String: ConfigurationValue] {
        if let fault = lines.fault {
            // An error before the fault is the one to mend first, and may be what led the walk astray.
            _ = try parse(String(decoding: Array(text.utf8.prefix(fault.bytesBefore)), as: UTF8.self))
            throw TOMLSyntaxError(line: fault.line, column: nil, message: fault.message)
        }
        return try parse(text)
    }

    private static func parse(_ text: String) throws(TOMLSyntaxError) -> [String: ConfigurationValue] {
        do {
            let root = try TOMLTable(string: text)
            return withExtendedLifetime(root) { copy(root) }
        } catch let error as TOMLParseError {
            throw TOMLSyntaxError(
                line: error.source.begin.line, column: error.source.begin.column, message: error.description
            )
        } catch {
            throw TOMLSyntaxError(line: nil, column: nil, message: "\(error)")
        }
    }

    private static func copy(_ table: TOMLTable) -> [String: ConfigurationValue] {
        var values: [String: ConfigurationValue] = [:]
        for key in table.keys {
            if let value = table[key] { values[key] = copy(value) }
        }
        return values
    }

    private static func copy(_ value: any TOMLValueConvertible) -> ConfigurationValue {
        if let text = value.string { return .string(text) }
        if let number = value.int { return .integer(number) }
        if let isTrue = value.bool { return .boolean(isTrue) }
        if let number = value.double { return .double(number) }
        if let table = value.table { return .table(copy(table)) }
        if let array = value.array { return .array((0..<array.count).map { copy(array[$0]) }) }
        return .moment
    }
}

/// The text is no TOML.
struct TOMLSyntaxError: Error {
    var line: Int?
    var column: Int?
    var message: String
}

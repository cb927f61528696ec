/// What all tables of one reading share: the surroundings, and the problems found so far.
final class ConfigurationReading {
    let environment: [String: String]
    let files: ConfigurationFiles
    private(set) var problems: [ConfigurationProblem] = []
    private(set) var warnings: [ConfigurationProblem] = []
    private(set) var certificates: [CertificateStatus] = []

    init(environment: [String: String], files: ConfigurationFiles) {
        self.environment = environment
        self.files = files
    }

    func report(_ message: String, at place: Place?) {
        problems.append(ConfigurationProblem(place, message: message))
    }

    func report(_ problem: ConfigurationProblem) { problems.append(problem) }

    func found(_ certificate: CertificateStatus) { certificates.append(certificate) }

    func warn(_ message: String, at place: Place?) {
        warnings.append(ConfigurationProblem(place, message: message))
    }
}

/// A key in a file.
struct Place {
    let file: String
    let lines: KeyLines
    /// Empty for the root of the file.
    let path: String

    func key(_ key: String) -> Place { Place(file: file, lines: lines, path: path.isEmpty ? key : "\(path).\(key)") }
    func element(_ index: Int) -> Place { Place(file: file, lines: lines, path: "\(path)[\(index)]") }

    /// `drawbridge.toml:12`, for problems that point at a second place.
    var fileAndLine: String { lines.line(of: path).map { "\(file):\($0)" } ?? file }
}

extension ConfigurationProblem {
    init(_ place: Place?, message: String) {
        self.init(
            file: place?.file, line: place?.lines.line(of: place?.path ?? ""), key: place?.path ?? "", message: message)
    }
}

/// A table of a file together with its place: asks for settings by key, type and range, and reports what does not fit.
///
/// Every question answers nil both when the key is absent and when it has been reported, so that callers keep their
/// default and go on to find the next problem.
struct SettingsTable {
    let values: [String: ConfigurationValue]
    let place: Place
    let reading: ConfigurationReading

    /// Reports every key that is not read here.
    init(_ values: [String: ConfigurationValue], known: KnownKeys, place: Place, reading: ConfigurationReading) {
        self.values = values
        self.place = place
        self.reading = reading
        for key in values.keys.sorted() {
            if let complaint = known.complaint(about: key) { reading.report(complaint, at: place.key(key)) }
        }
    }

    func has(_ key: String) -> Bool { values[key] != nil }

    func report(_ key: String, _ message: String) { reading.report(message, at: place.key(key)) }

    // MARK: Scalars

    func boolean(_ key: String) -> Bool? {
        guard let value = values[key] else { return nil }
        if case .boolean(let isTrue) = value { return isTrue }
        report(key, "must be true or false, found \(value.found)")
        return nil
    }

    func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = values[key] else { return nil }
        if case .integer(let number) = value, range.contains(number) { return number }
        report(key, "must be \(range.lowerBound) to \(range.upperBound), found \(value.found)")
        return nil
    }

    /// A part of a whole: more than 0, 1 at most.
    func part(_ key: String) -> Double? {
        guard let value = values[key] else { return nil }
        var part: Double?
        switch value {
        case .double(let number): part = number
        case .integer(let number): part = Double(number)
        default: break
        }
        if let part, part > 0, part <= 1 { return part }
        report(key, "must be more than 0 and 1 at most, found \(value.found)")
        return nil
    }

    /// A text after `${...}` has been replaced.
    func string(_ key: String) -> String? {
        guard let value = values[key] else { return nil }
        return expanded(value, at: place.key(key))
    }

    /// A text that must say something.
    func nonEmptyString(_ key: String) -> String? {
        guard let text = string(key) else { return nil }
        if text.isEmpty { report(key, "must not be empty") }
        return text.isEmpty ? nil : text
    }

    /// A size such as "64KiB"; a plain number counts bytes.
    func size(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = values[key] else { return nil }
        let allowed = "\(SizeText.describe(range.lowerBound)) to \(SizeText.describe(range.upperBound))"
        var bytes: Int?
        switch value {
        case .integer(let number):
            bytes = number
        case .string:
            guard let text = string(key) else { return nil }
            bytes = SizeText.bytes(in: text)
            if bytes == nil {
                report(key, "must be a size of \(allowed), such as \"64KiB\" or \"2MB\", found \"\(text)\"")
                return nil
            }
        default:
            break
        }
        if let bytes, range.contains(bytes) { return bytes }
        report(key, "must be a size of \(allowed), found \(value.found)")
        return nil
    }

    /// A rate such as "200/s".
    ///
    /// - Parameters:
    ///   - example: how one is written, in quotes.
    ///   - read: nil when a text is none.
    func rate(_ key: String, _ example: String, in range: ClosedRange<Int>, _ read: (String) -> Int?) -> Int? {
        guard let value = values[key] else { return nil }
        guard case .string = value else {
            report(key, "must be a rate in quotes, such as \(example), found \(value.found)")
            return nil
        }
        guard let text = string(key) else { return nil }
        guard let rate = read(text), range.contains(rate) else {
            report(
                key, "must be a rate such as \(example), \(range.lowerBound) to \(range.upperBound), found \"\(text)\"")
            return nil
        }
        return rate
    }

    /// A duration such as "30s".
    func duration(_ key: String, in range: ClosedRange<Duration>, wholeSeconds: Bool = false) -> Duration? {
        guard let value = values[key] else { return nil }
        let allowed = "\(DurationText.describe(range.lowerBound)) to \(DurationText.describe(range.upperBound))"
        guard case .string = value else {
            report(key, "must be a duration of \(allowed) in quotes, such as \"30s\", found \(value.found)")
            return nil
        }
        guard let text = string(key) else { return nil }
        guard let duration = DurationText.duration(in: text) else {
            report(key, "must be a duration of \(allowed), such as \"500ms\", \"30s\" or \"7d\", found \"\(text)\"")
            return nil
        }
        guard range.contains(duration) else {
            report(key, "must be \(allowed), found \"\(text)\"")
            return nil
        }
        if wholeSeconds, duration.components.attoseconds != 0 {
            report(key, "must be whole seconds, since MQTT counts them, found \"\(text)\"")
            return nil
        }
        return duration
    }

    /// One word of a closed list.
    ///
    /// - Parameter later: words of the format that this version does not know yet.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, of type: Choice.Type, later: [String] = []
    ) -> Choice? {
        guard let value = values[key] else { return nil }
        guard case .string = value else {
            report(key, "must be \(Self.allowed(type)), found \(value.found)")
            return nil
        }
        return string(key).flatMap { choose($0, of: type, later, at: place.key(key)) }
    }

    /// Words of a closed list, each with its place; those that are none are reported and left out.
    func choices<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, of type: Choice.Type, mayBeEmpty: Bool, later: [String] = []
    ) -> [(choice: Choice, place: Place)]? {
        strings(key, mayBeEmpty: mayBeEmpty)?.compactMap { text, place in
            choose(text, of: type, later, at: place).map { ($0, place) }
        }
    }

    private func choose<Choice: RawRepresentable<String> & CaseIterable>(
        _ text: String, of type: Choice.Type, _ later: [String], at place: Place
    ) -> Choice? {
        if let choice = Choice(rawValue: text) { return choice }
        let allowed = Self.allowed(type)
        reading.report(
            later.contains(text)
                ? "\"\(text)\" is not available in this version, use \(allowed)"
                : "must be \(allowed), found \"\(text)\"",
            at: place
        )
        return nil
    }

    private static func allowed<Choice: RawRepresentable<String> & CaseIterable>(_ type: Choice.Type) -> String {
        Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or ")
    }

    // MARK: Lists and tables

    /// A list of texts, each with its place; a list of nothing is reported when `mayBeEmpty` is false.
    func strings(_ key: String, mayBeEmpty: Bool) -> [(text: String, place: Place)]? {
        guard let value = values[key] else { return nil }
        guard case .array(let elements) = value else {
            report(key, "must be a list of texts, as in [\"...\"], found \(value.found)")
            return nil
        }
        if elements.isEmpty, !mayBeEmpty {
            report(key, "must not be an empty list")
            return nil
        }
        var texts: [(text: String, place: Place)] = []
        for (index, element) in elements.enumerated() {
            let place = place.key(key).element(index)
            if let text = expanded(element, at: place) { texts.append((text, place)) }
        }
        return texts
    }

    func table(_ key: String, known: KnownKeys) -> SettingsTable? {
        guard let value = values[key] else { return nil }
        if case .table(let values) = value {
            return SettingsTable(values, known: known, place: place.key(key), reading: reading)
        }
        report(key, "must be a table, found \(value.found)")
        return nil
    }

    /// An array of tables, `[[key]]`.
    func tables(_ key: String, known: KnownKeys) -> [SettingsTable] {
        guard let value = values[key] else { return [] }
        let header = place.path.isEmpty ? key : "\(place.path.filter { !"[]0123456789".contains($0) }).\(key)"
        guard case .array(let elements) = value else {
            report(key, "must be a list of tables: write [[\(header)]], found \(value.found)")
            return []
        }
        var tables: [SettingsTable] = []
        for (index, element) in elements.enumerated() {
            let place = place.key(key).element(index)
            if case .table(let values) = element {
                tables.append(SettingsTable(values, known: known, place: place, reading: reading))
            } else {
                reading.report("must be a table: write [[\(header)]], found \(element.found)", at: place)
            }
        }
        return tables
    }

    func expanded(_ value: ConfigurationValue, at place: Place) -> String? {
        guard case .string(let raw) = value else {
            reading.report("must be text in quotes, found \(value.found)", at: place)
            return nil
        }
        do throws(EnvironmentText.Failure) {
            return try EnvironmentText.expand(raw, environment: reading.environment)
        } catch {
            reading.report(error.message, at: place)
            return nil
        }
    }
}

/// A configuration read from TOML, with what was odd about it.
///
/// Reading goes over all files first and reports everything at once: syntax, unknown keys, types, ranges, then what
/// single settings mean together. The included files count as if their tables stood after those of the main file.
package struct ConfigurationFile: Sendable, Equatable {
    package var configuration: Configuration
    /// What an operator should know although it works.
    package var warnings: [ConfigurationProblem]
    /// The main file, then the included ones in the order of reading.
    package var paths: [String]
    /// The certificates that listeners and links will show.
    package var certificates: [CertificateStatus]

    /// Reads the file at `path` and all that it includes.
    ///
    /// - Parameters:
    ///   - path: absolute, or relative to the working directory.
    ///   - environment: the variables that `${NAME}` may name.
    ///   - files: where files come from; tests hand in their own.
    ///   - hostName: the default of `node.id`.
    /// - Throws: every problem of every file; never an empty list.
    package static func load(
        path: String,
        environment: [String: String],
        files: ConfigurationFiles = .disk,
        hostName: String? = nil
    ) throws(ConfigurationProblems) -> ConfigurationFile {
        let reading = ConfigurationReading(environment: environment, files: files)
        var roots: [SettingsTable] = []
        if let main = root(of: path, reading: reading) {
            roots.append(main)
            roots += includes(of: main, path: path, reading: reading)
        }
        var reader = ConfigurationReader(nodeID: hostName ?? Identifier.ofThisMachine(), reading: reading)
        reader.read(roots)
        guard reading.problems.isEmpty else {
            throw ConfigurationProblems(problems: inOrder(reading.problems), warnings: inOrder(reading.warnings))
        }
        return ConfigurationFile(
            configuration: reader.configuration,
            warnings: inOrder(reading.warnings),
            paths: roots.map(\.place.file),
            certificates: reading.certificates
        )
    }

    /// Main file first, and from top to bottom, which is how one mends them; the order of finding breaks ties.
    private static func inOrder(_ problems: [ConfigurationProblem]) -> [ConfigurationProblem] {
        var files: [String] = []
        for problem in problems {
            if let file = problem.file, !files.contains(file) { files.append(file) }
        }
        return problems.enumerated().sorted { a, b in
            let fileOfA = a.element.file.flatMap(files.firstIndex(of:)) ?? -1
            let fileOfB = b.element.file.flatMap(files.firstIndex(of:)) ?? -1
            return (fileOfA, a.element.line ?? 0, a.offset) < (fileOfB, b.element.line ?? 0, b.offset)
        }.map(\.element)
    }

    // MARK: Files

    /// The root table of one file; nil when that is reported.
    static func root(
        of path: String,
        known: KnownKeys = .root,
        reading: ConfigurationReading
    ) -> SettingsTable? {
        let bytes: [UInt8]
        do throws(ConfigurationFiles.Unreadable) {
            bytes = try reading.files.content(path).bytes
        } catch {
            reading.report(ConfigurationProblem(file: path, message: "cannot be read: \(error.reason)"))
            return nil
        }
        guard let text = String(validating: bytes.trimmingByteOrderMark(), as: UTF8.self) else {
            reading.report(ConfigurationProblem(file: path, message: "is not UTF-8 text"))
            return nil
        }
        if let line = lineOfNUL(in: text) {
            // The parser counts in C strings: it would drop what follows without a word.
            reading.report(
                ConfigurationProblem(file: path, line: line, message: "NUL is not allowed, not even as \\u0000"))
            return nil
        }
        do throws(TOMLSyntaxError) {
            let lines = KeyLines(text: text)
            let values = try ConfigurationValue.parse(text, lines: lines)
            let place = Place(file: path, lines: lines, path: "")
            return SettingsTable(values, known: known, place: place, reading: reading)
        } catch {
            reading.report(
                ConfigurationProblem(file: path, line: error.line, column: error.column, message: error.message)
            )
            return nil
        }
    }

    private static func lineOfNUL(in text: String) -> Int? {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.utf8.contains(0) || line.contains("\\u0000") || line.contains("\\U00000000") { return index + 1 }
        }
        return nil
    }

    /// `node.include` of the main file: patterns relative to its folder; what a pattern finds is read in order of names.
    private static func includes(of main: SettingsTable, path: String, reading: ConfigurationReading) -> [SettingsTable]
    {
        guard case .table(let values)? = main.values["node"], values["include"] != nil else { return [] }
        // The keys of [node] are checked when it is read as a whole; here everything counts as known.
        let known = KnownKeys(available: Array(values.keys), later: [])
        let node = SettingsTable(values, known: known, place: main.place.key("node"), reading: reading)
        var roots: [SettingsTable] = []
        var seen = [path]
        for (pattern, place) in node.strings("include", mayBeEmpty: true) ?? [] {
            let pattern = FilePath.resolve(pattern, besides: path)
            let paths: [String]
            do throws(ConfigurationFiles.Unreadable) {
                paths = FilePath.isPattern(pattern) ? try reading.files.matches(pattern) : [pattern]
            } catch {
                reading.report("\(pattern) cannot be looked for: \(error.reason)", at: place)
                continue
            }
            if paths.isEmpty { reading.warn("no file matches \(pattern)", at: place) }
            for path in paths where !seen.contains(path) {
                seen.append(path)
                guard let root = root(of: path, reading: reading) else { continue }
                if case .table(let values)? = root.values["node"], values["include"] != nil {
                    root.reading.report(
                        "an included file cannot include others", at: root.place.key("node").key("include"))
                }
                roots.append(root)
            }
        }
        return roots
    }
}

extension [UInt8] {
    /// Some editors put a byte order mark before UTF-8; it says nothing.
    fileprivate func trimmingByteOrderMark() -> ArraySlice<UInt8> {
        starts(with: [0xEF, 0xBB, 0xBF]) ? dropFirst(3) : self[...]
    }
}

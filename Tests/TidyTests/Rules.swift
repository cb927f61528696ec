extension String {
    /// Words end at a dot, as programmers see it and Unicode does not.
    fileprivate func has(_ pattern: Regex<Substring>) -> Bool { contains(pattern.wordBoundaryKind(.simple)) }
}

/// What may not stand in a file, each rule as a function from a file to the places that break it, so that every rule
/// can be shown to fail.
enum Rules {
    // MARK: - Imports

    /// What a target may import: itself decides what it needs, arrows point downward only.
    static let imports: [String: Set<String>] = [
        "MQTTCodec": ["NIOCore"],
        "BrokerCore": ["MQTTCodec", "NIOCore", "DequeModule", "HeapModule", "OrderedCollections", "BitCollections"],
        "Spool": [
            "BrokerCore", "MQTTCodec", "NIOCore", "DequeModule", "GRDB", "GRDBSQLite", "Foundation", "Synchronization",
            "Dispatch",
        ],
        "FileStatus": ["Glibc", "Musl", "Darwin"],
        "Certificates": ["Crypto", "CryptoExtras", "Foundation", "SwiftASN1", "X509"],
        "BrokerSimulation": [
            "BrokerCore", "MQTTCodec", "NIOCore", "DequeModule", "HeapModule", "OrderedCollections",
        ],
    ]
    /// Floors that upper targets must not reach up or across to.
    static let bannedImports: [String: Set<String>] = [
        "BrokerServer": ["drawbridge", "BrokerSimulation", "MQTTClient", "ArgumentParser", "TestSupport"],
        "BrokerBench": ["drawbridge", "BrokerCore", "BrokerSimulation", "Spool", "ArgumentParser", "TestSupport"],
        "drawbridge": ["BrokerCore", "MQTTCodec", "TestSupport"],
    ]

    static func imports(of target: String, in file: SourceFile) -> [String] {
        problems(file, with: ["import "]) { code in
            guard
                let module = code.firstMatch(
                    of: /^\s*(?:@\w+ )*(?:package |public |private |internal )?import (?:\w+ )?(\w+)/)?.1
            else {
                return nil
            }
            if let allowed = imports[target], !allowed.contains(String(module)) {
                return "\(target) may not import \(module)"
            }
            if let banned = bannedImports[target], banned.contains(String(module)) {
                return "\(target) may not import \(module)"
            }
            return nil
        }
    }

    // MARK: - Calls

    /// Traps and shrugs. `try?` stands only beside a comment that proves it.
    static func traps(in file: SourceFile) -> [String] {
        problems(file, with: ["!", "try?", "fatalError", "PathComponent"]) { index, code in
            if code.has(/\btry!/) { return "try!" }
            if code.has(/\bas!/) { return "as!" }
            if code.has(/\bfatalError\(/) { return "fatalError" }
            if code.has(/\bNSString\b.*PathComponent/) { return "NSString, which traps on a path of one character" }
            if code.has(/\btry\?/), !hasComment(file, index) { return "try? without a comment that proves it" }
            // A postfix `!` stands right behind a name, a bracket or a literal; `!=` and a prefix `!` do not.
            if code.has(/[\w)\]}">]!(?!=)/) { return "force unwrap" }
            return nil
        }
    }

    /// A function that is itself the value of a lock is wrapped once more with every access, in release builds too, until
    /// a call of it goes through thousands. In a struct it is not.
    static func lockedFunctions(in file: SourceFile) -> [String] {
        problems(file, with: ["Mutex<", "LockedValueBox<"]) { code in
            code.has(/\b(?:Mutex|LockedValueBox)<\(.*->/) ? "a function as the value of a lock" : nil
        }
    }

    private static func hasComment(_ file: SourceFile, _ index: Int) -> Bool {
        [index - 1, index].contains { file.lines.indices.contains($0) && file.lines[$0].contains("//") }
    }

    /// The core asks for no clock and throws no dice of its own.
    static func clocks(in file: SourceFile) -> [String] {
        problems(file, with: ["NIODeadline", "Date()", "Clock", "DispatchTime", "SystemRandom"]) { code in
            if code.has(/\bNIODeadline\.now\(/) { return "NIODeadline.now()" }
            if code.has(/\bDate\(\)/) { return "Date()" }
            if code.has(/\b(?:ContinuousClock|SuspendingClock|DispatchTime|SystemRandomNumberGenerator)\b/) {
                return "a clock or dice of the system"
            }
            return nil
        }
    }

    /// Handlers ask the loop for the time, so that tests can advance it.
    static func deadlines(in file: SourceFile) -> [String] {
        problems(file, with: ["NIODeadline"]) { $0.has(/\bNIODeadline\.now\(/) ? "NIODeadline.now()" : nil }
    }

    static func prints(in file: SourceFile) -> [String] {
        problems(file, with: ["rint(", "dump("]) {
            $0.has(/\b(?:debugPrint|print|dump)\(/) ? "print outside of the command" : nil
        }
    }

    /// Looked for in comments, of course.
    static func reminders(in file: SourceFile) -> [String] {
        lines(file, with: ["TODO", "FIXME", "XXX"]) {
            $0.has(/\b(?:TODO|FIXME|XXX)\b/) ? "a note to self; history and issues live elsewhere" : nil
        }
    }

    static func shakyTests(in file: SourceFile) -> [String] {
        problems(file, with: ["leep", "#expect(true)", ".disabled("]) { code in
            if code.has(/\bThread\.sleep\b/) || code.has(/\busleep\(/) || code.has(/\bTask\.sleep\b/)
                || code.has(/\bsleep\(/)
            {
                return "a test sleeps"
            }
            if code.has(/#expect\(true\)/) { return "a test that cannot fail" }
            if code.has(/\.disabled\(/) { return "a test that does not run" }
            return nil
        }
    }

    // MARK: - Places

    /// Paths of somebody's desk. The rule's own words are put together, so that it does not find itself.
    static func workplaces(in file: SourceFile) -> [String] {
        let shared = ".." + "/shared"
        let work = "/" + "work/"
        let temporary = "/" + "tmp/"
        return lines(file, with: [shared, work, temporary]) { line in
            if line.contains(shared) { return "the path \(shared)" }
            if let range = line.firstRange(of: work), isStartOfPath(line, range.lowerBound) {
                return "the path \(work)"
            }
            if file.path.hasPrefix("Sources/"), line.contains(temporary) { return "the path \(temporary)" }
            return nil
        }
    }

    private static func isStartOfPath(_ line: String, _ index: String.Index) -> Bool {
        guard index > line.startIndex else { return true }
        let before = line[line.index(before: index)]
        return !before.isLetter && !before.isNumber && before != "." && before != "_" && before != "-"
    }

    // MARK: - Statements of the standard

    /// `[5:MQTT-3.3.4-9]`, `[311:MQTT-4.6.0-6]`: version, section, number.
    static func malformedTags(in file: SourceFile) -> [String] {
        lines(file, with: [":MQTT"]) { line in
            for match in line.matches(of: /\[([0-9.]+):(MQTT[^\]]*)\]/) {
                // A table or a remark may follow the number behind a comma.
                let isWellFormed = match.1 == "5" || match.1 == "311"
                guard isWellFormed, match.2.wholeMatch(of: /MQTT-[1-6]\.\d{1,2}\.\d{1,2}-\d{1,2}(?:, .*)?/) != nil
                else {
                    return "malformed statement \(match.0)"
                }
            }
            return nil
        }
    }

    /// Statements and sections that a file names.
    static func tags(in file: SourceFile) -> Set<String> {
        file.lines.reduce(into: Set()) { $0.formUnion(tags(inLine: $1)) }
    }

    /// `[5:MQTT-3.3.4-9]`, `[5:§3.3.2.3.4]`, without the remark that may follow the number.
    static func tags(inLine line: String) -> [String] {
        guard line.utf8.contains(UInt8(ascii: "[")), line.contains(":MQTT-") || line.contains(":§") else { return [] }
        return line.matches(of: /\[(5|311):(MQTT-[0-9.]+-[0-9]+|§[0-9.]+)/).map { "[\($0.1):\($0.2)]" }
    }

    // MARK: - Looking

    /// - Parameter words: a line without any of them cannot break the rule; patterns are slow without optimisation.
    private static func problems(
        _ file: SourceFile,
        with words: [String],
        _ rule: (String) -> String?
    ) -> [String] {
        problems(file, with: words) { _, code in rule(code) }
    }

    private static func problems(
        _ file: SourceFile,
        with words: [String],
        _ rule: (Int, String) -> String?
    ) -> [String] {
        file.code.enumerated().compactMap { index, code in
            guard words.contains(where: { code.contains($0) }) else { return nil }
            return rule(index, code).map { "\(file.place(index)): \($0)" }
        }
    }

    private static func lines(_ file: SourceFile, with words: [String], _ rule: (String) -> String?) -> [String] {
        file.lines.enumerated().compactMap { index, line in
            guard words.contains(where: { line.contains($0) }) else { return nil }
            return rule(line).map { "\(file.place(index)): \($0)" }
        }
    }
}

/// Where each statement of the standard is fulfilled and where it is tested, as the tags in the files say, and the
/// document that shows it.
///
/// Places are files and not lines: a document with line numbers would be out of date with every edit.
struct Conformance {
    struct Places {
        var code: Set<String> = []
        var tests: Set<String> = []
    }

    let statements: [Statement]
    private(set) var places: [String: Places] = [:]
    /// Tags that name no statement, with their place.
    private(set) var unknown: [String] = []

    init(statements: [Statement], code: [SourceFile], tests: [SourceFile]) {
        self.statements = statements
        let known = Set(statements.map(\.tag))
        add(code, known, \.code)
        add(tests, known, \.tests)
    }

    private mutating func add(
        _ files: [SourceFile],
        _ known: Set<String>,
        _ kind: WritableKeyPath<Places, Set<String>>
    ) {
        for file in files {
            for (index, line) in file.lines.enumerated() {
                for tag in Rules.tags(inLine: line) {
                    if known.contains(tag) {
                        places[tag, default: Places()][keyPath: kind].insert(file.path)
                    } else {
                        unknown.append("\(file.place(index)): \(tag) is no statement of the tables")
                    }
                }
            }
        }
    }

    /// Statements that concern a server and that no test names.
    var untested: Set<String> {
        Set(statements.filter { $0.concernsServer && places[$0.tag]?.tests.isEmpty ?? true }.map(\.tag))
    }

    // MARK: - The document

    static let path = "docs/conformance.md"

    /// The whole document.
    var document: String {
        var text = """
            # Conformance

            Each normative statement of MQTT 5.0 and 3.1.1, in short words, with the files that fulfil it and the tests that
            prove it. This file is made from the tags in them (`[5:MQTT-3.3.4-9]`): `make conformance` writes it, and a test
            fails when it is out of date. Sentences of 5.0 that call something a Protocol Error without a number go by their
            section. Statements that bind clients only are marked; where a server notices that a client broke one, that is
            tested too. MQTT 3.1 has no numbered statements; what differs from 3.1.1 is tested beside it.


            """
        text += summary
        for (version, title) in [("5", "MQTT 5.0"), ("311", "MQTT 3.1.1")] {
            text += "\n## \(title)\n"
            let numbered = statements.filter { $0.version == version && !$0.id.hasPrefix("§") }
            for chapter in chapters(of: numbered) {
                text += table("### Section \(chapter)", numbered.filter { Self.chapter(of: $0) == chapter })
            }
            let sections = statements.filter { $0.version == version && $0.id.hasPrefix("§") }
            text += table("### Sentences without a number", sections)
        }
        return text
    }

    private var summary: String {
        var text = "| standard | statements | of these for servers | with a test | for servers, without a test |\n"
        text += "|---|---|---|---|---|\n"
        for (version, title) in [("5", "5.0"), ("311", "3.1.1")] {
            let all = statements.filter { $0.version == version }
            let tested = all.filter { !(places[$0.tag]?.tests.isEmpty ?? true) }
            let missing = all.filter { untested.contains($0.tag) }
            text +=
                "| \(title) | \(all.count) | \(all.count(where: \.concernsServer)) | \(tested.count) | \(missing.count) |\n"
        }
        return text
    }

    private func chapters(of statements: [Statement]) -> [String] {
        statements.reduce(into: [String]()) { chapters, statement in
            let chapter = Self.chapter(of: statement)
            if !chapters.contains(chapter) { chapters.append(chapter) }
        }
    }

    /// `3.3.4` is of 3.3.
    private static func chapter(of statement: Statement) -> String {
        statement.section.split(separator: ".").prefix(2).joined(separator: ".")
    }

    private func table(_ title: String, _ statements: [Statement]) -> String {
        guard !statements.isEmpty else { return "" }
        var text = "\n\(title)\n\n| statement | gist | fulfilled in | tested in |\n|---|---|---|---|\n"
        for statement in statements {
            let places = places[statement.tag] ?? Places()
            let party = statement.concernsServer ? "" : "*(clients)* "
            text += "| \(statement.id) | \(party)\(statement.gist.replacing("|", with: "\\|")) "
            text += "| \(Self.links(places.code)) | \(Self.links(places.tests)) |\n"
        }
        return text
    }

    private static func links(_ paths: Set<String>) -> String {
        guard !paths.isEmpty else { return "–" }
        return paths.sorted().map { path in
            let name = path.split(separator: "/").last.map(String.init) ?? path
            return "[\(name)](../\(path))"
        }.joined(separator: ", ")
    }
}

import Foundation
import Testing

/// The tags of the standard's statements, held against its tables and against `docs/conformance.md`.
@Suite("Conformance")
struct ConformanceTests {
    private static let conformance = Conformance(
        statements: Statement.all,
        code: Repository.swiftFiles(under: "Sources") + web(isTest: false),
        tests: Repository.files(under: "Tests").filter { isTest($0.path) } + web(isTest: true)
    )

    private static func isTest(_ path: String) -> Bool {
        !path.hasPrefix("Tests/TidyTests/") && (path.hasSuffix(".swift") || path.hasSuffix(".py"))
    }

    private static func web(isTest: Bool) -> [SourceFile] {
        Repository.files(under: "web").filter { $0.path.hasSuffix(".js") && $0.path.hasSuffix(".test.js") == isTest }
    }

    @Test("the tables are whole")
    func tables() {
        #expect(Statement.all.count(where: { $0.version == "5" && $0.id.hasPrefix("MQTT") }) == 251)
        #expect(Statement.all.count(where: { $0.version == "311" && $0.id.hasPrefix("MQTT") }) == 141)
        #expect(Set(Statement.all.map(\.tag)).count == Statement.all.count)
    }

    @Test("every tag names a statement of the tables")
    func known() {
        let unknown = Self.conformance.unknown
        #expect(unknown.isEmpty, "\(unknown.joined(separator: "\n"))")
    }

    /// The list of what is still to be done: it may only become shorter.
    @Test("every statement that concerns a server has a test")
    func tested() {
        let untested = Self.conformance.untested
        let new = untested.subtracting(Self.withoutTest)
        #expect(new.isEmpty, "no test names \(new.sorted().joined(separator: " "))")
        let done = Self.withoutTest.subtracting(untested)
        #expect(done.isEmpty, "tested by now, take out of the list: \(done.sorted().joined(separator: " "))")
    }

    /// None: whoever adds a statement that cannot be tested yet names it here.
    private static let withoutTest: Set<String> = []

    @Test("docs/conformance.md says what the tags say; `make conformance` writes it")
    func document() throws {
        let file = Repository.root.appending(path: Conformance.path)
        let document = Self.conformance.document
        if ProcessInfo.processInfo.environment["DRAWBRIDGE_WRITE_CONFORMANCE"] != nil {
            try document.write(to: file, atomically: true, encoding: .utf8)
        }
        let written = try String(contentsOf: file, encoding: .utf8)
        #expect(written == document, "out of date: run `make conformance`")
    }
}

import Foundation
import Testing

/// The house rules, held against every file: what a reviewer would otherwise have to look for each time.
@Suite("House rules")
struct TidyTests {
    private static let sources = Repository.swiftFiles(under: "Sources")
    private static let tests = Repository.swiftFiles(under: "Tests")

    private func expectNone(_ problems: [String], sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))", sourceLocation: sourceLocation)
    }

    private func files(of target: String) -> [SourceFile] {
        Self.sources.filter { $0.path.hasPrefix("Sources/\(target)/") }
    }

    @Test("there is something to look at")
    func finds() {
        #expect(Self.sources.count > 100)
        #expect(Self.tests.count > 20)
        #expect(!files(of: "BrokerCore").isEmpty)
    }

    @Test("imports point downward", arguments: Set(Rules.imports.keys).union(Rules.bannedImports.keys).sorted())
    func imports(target: String) {
        #expect(!files(of: target).isEmpty)
        expectNone(files(of: target).flatMap { Rules.imports(of: target, in: $0) })
    }

    @Test("nothing in Sources traps or shrugs")
    func traps() {
        expectNone(Self.sources.flatMap(Rules.traps) + Repository.swiftFiles(under: "web").flatMap(Rules.traps))
    }

    @Test("no lock holds a function")
    func lockedFunctions() {
        expectNone((Self.sources + Self.tests).flatMap(Rules.lockedFunctions))
    }

    @Test("the core and the simulation ask for no clock and no dice")
    func clocks() {
        expectNone(["MQTTCodec", "BrokerCore", "BrokerSimulation"].flatMap(files).flatMap(Rules.clocks))
        expectNone(files(of: "BrokerServer").flatMap(Rules.deadlines))
    }

    @Test("only commands print")
    func prints() {
        let commands = ["Sources/drawbridge/", "Sources/HotPathBenchmarks/"]
        let others = Self.sources.filter { file in !commands.contains { file.path.hasPrefix($0) } }
        expectNone(others.flatMap(Rules.prints))
    }

    @Test("no notes to self")
    func reminders() {
        let own = Self.tests.filter { !$0.path.hasPrefix("Tests/TidyTests/") }
        expectNone((Self.sources + own).flatMap(Rules.reminders))
    }

    @Test("tests do not sleep, and every test runs and can fail")
    func shakyTests() {
        expectNone(Self.tests.flatMap(Rules.shakyTests))
    }

    @Test("no file names a workplace")
    func workplaces() {
        expectNone(Repository.files(under: "").flatMap(Rules.workplaces))
    }

    @Test("statements of the standard are named as the standard names them")
    func statements() {
        expectNone(
            (Self.sources + Self.tests).filter { !$0.path.hasPrefix("Tests/TidyTests/") }.flatMap(Rules.malformedTags))
    }
}

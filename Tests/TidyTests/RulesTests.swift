import Testing

/// Every rule can fail: shown on small bad texts, beside small good ones that look alike.
@Suite("The rules themselves")
struct RulesTests {
    private func file(_ text: String, _ path: String = "Sources/BrokerCore/X.swift") -> SourceFile {
        SourceFile(path: path, text: text)
    }

    @Test("comments and strings are no code; lines stay where they are")
    func reading() {
        let code = SourceFile.withoutCommentsAndStrings(
            ##"""
            let a = "x! \(f("try!")) y" // as!
            /* try!
            */ let b = #"a"!"# + "\"!"
            let c = """
                try! "quoted" x!
                """
            d()
            """##
        )
        #expect(code.count == 7)
        #expect(!code.joined().contains("!"))
        #expect(code[0].hasPrefix("let a = \"\""))
        #expect(code[2].contains("let b = \"\" + \"\""))
        #expect(code[6] == "d()")
    }

    @Test(
        "an import that points upward is found",
        arguments: [
            ("MQTTCodec", "import Foundation"), ("MQTTCodec", "package import BrokerCore"),
            ("BrokerCore", "import Dispatch"),
            ("BrokerCore", "import NIOPosix"), ("BrokerCore", "import struct Foundation.Date"),
            ("Spool", "import NIOPosix"),
            ("BrokerSimulation", "import Spool"), ("BrokerServer", "import BrokerSimulation"),
            ("drawbridge", "import MQTTCodec"),
        ])
    func imports(target: String, line: String) {
        #expect(Rules.imports(of: target, in: file("\n" + line)).count == 1)
    }

    @Test("an import that points downward is not")
    func goodImports() {
        #expect(Rules.imports(of: "BrokerCore", in: file("package import MQTTCodec\nimport DequeModule")).isEmpty)
        #expect(Rules.imports(of: "MQTTCodec", in: file("// import Foundation")).isEmpty)
    }

    @Test(
        "traps are found",
        arguments: [
            "let a = try! f()", "let a = b as! C", "fatalError(\"x\")", "let a = try? f()", "let a = b!", "a[0]!.c()",
            "(path as NSString).lastPathComponent", "NSString(string: a).deletingLastPathComponent", "f()!.g()",
            "\"\"!", "var a: B!", "f { x }!",
        ])
    func traps(line: String) {
        #expect(Rules.traps(in: file(line)).count == 1)
    }

    @Test(
        "what only looks like a trap is not",
        arguments: [
            "if a != b {}", "if !a {}", "guard !(a && !b) else {}", "x.filter(!=)", "// b!", "let a = \"b!\"", "a!=b",
            "let a = try? f()  // Nil says the same: the file is only a hint.",
            "// It is only a hint.\nlet a = try? f()",
        ])
    func noTraps(line: String) {
        #expect(Rules.traps(in: file(line)).isEmpty)
    }

    @Test("a function in a lock is found")
    func lockedFunctions() {
        #expect(Rules.lockedFunctions(in: file("let a = Mutex<(@Sendable ([B]) -> Void)?>(nil)")).count == 1)
        #expect(Rules.lockedFunctions(in: file("let a = Mutex<(Int, Int)>((0, 0))\nlet b = Mutex<[Int]>([])")).isEmpty)
    }

    @Test("clocks, dice and prints are found")
    func clocks() {
        #expect(
            Rules.clocks(in: file("let a = NIODeadline.now()\nlet b = Date()\nlet c = ContinuousClock.now")).count == 3)
        #expect(Rules.clocks(in: file("let a = Date(timeIntervalSince1970: 0)")).isEmpty)
        #expect(Rules.deadlines(in: file("x(NIODeadline.now())")).count == 1)
        #expect(Rules.prints(in: file("print(1)\ndebugPrint(2)")).count == 2)
        #expect(Rules.prints(in: file("fingerprint(1)")).isEmpty)
    }

    @Test("notes to self are found, in comments too")
    func reminders() {
        #expect(Rules.reminders(in: file("// TODO: x\n/// FIXME\nf() // XXX")).count == 3)
        #expect(Rules.reminders(in: file("let TODOs = 1")).isEmpty)
    }

    @Test(
        "tests that sleep, cannot fail or do not run are found",
        arguments: [
            "Thread.sleep(forTimeInterval: 1)", "usleep(10)", "try await Task.sleep(for: .seconds(1))", "#expect(true)",
            "@Test(\"x\", .disabled(\"later\"))", "sleep(1)",
        ])
    func shakyTests(line: String) {
        #expect(Rules.shakyTests(in: file(line, "Tests/XTests/X.swift")).count == 1)
    }

    @Test("paths of a workplace are found")
    func workplaces() {
        let work = "/" + "work/x"
        let temporary = "/" + "tmp/x"
        let shared = ".." + "/shared/x"
        #expect(Rules.workplaces(in: file("let a = \"\(work)\"\n\(work)\n\(shared)\n\(temporary)")).count == 4)
        #expect(Rules.workplaces(in: file("a\(work)\n\(temporary)", "Tests/X.swift")).isEmpty)
    }

    @Test(
        "malformed statements are found",
        arguments: [
            "[5:MQTT-3.3.4]", "[3:MQTT-3.3.4-9]", "[5:MQTT-3.3-9]", "[5:MQTT-3.3.4-9a]", "[5:MQTT_3.3.4-9]",
            "[3.1.1:MQTT-3.3.4-9]", "[5:MQTT-7.1.1-1]",
        ])
    func malformedTags(tag: String) {
        #expect(Rules.malformedTags(in: file("// \(tag) why")).count == 1)
    }

    @Test("well-formed statements are not, and are counted without what follows")
    func goodTags() {
        let text = "// [5:MQTT-3.3.4-9] [311:MQTT-4.6.0-6]\n\"[5:MQTT-3.15.2-1, table 3-10]\" [5:§2.4]"
        #expect(Rules.malformedTags(in: file(text)).isEmpty)
        #expect(
            Rules.tags(in: file(text)) == ["[5:MQTT-3.3.4-9]", "[311:MQTT-4.6.0-6]", "[5:MQTT-3.15.2-1]", "[5:§2.4]"])
    }
}

import BrokerServer
import Foundation
import Testing

@Suite("The file of users")
struct UserFileTests {
    private static let hash =
        "$6$I2QYoL0tfnQhV4lK$Lne+c1Bem7/6kA5wjAOJ/zsYcoYrYJqAaxzP0BgMUiV8Vc0wAaV9yvbMfnAyHqDBXrckgMDuPz3f72jkqQhlmQ=="

    private func problems(_ text: String) -> [String] {
        do throws(ConfigurationProblems) {
            _ = try UserFile(text, path: "users")
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test("comments, empty lines and line ends of other systems say nothing")
    func lines() throws {
        let file = try UserFile("# staff\n\nann:\(Self.hash)\r\n   \nbob:\(Self.hash)  \n", path: "users")
        #expect(file.names == ["ann", "bob"])
        #expect(file.hash(of: "ann")?.matches(Array("pass".utf8)) == true)
        #expect(file.hash(of: "Ann") == nil)
        #expect(file.hash(of: "") == nil)
        #expect(file.hash(of: "# staff") == nil)
        #expect(try UserFile("", path: "users").names.isEmpty)
    }

    @Test("names are bytes: two spellings of one letter are two users")
    func bytes() throws {
        let file = try UserFile("\u{E9}:\(Self.hash)\ne\u{301}:\(Self.hash)\n", path: "users")
        #expect(file.names.count == 2)
        #expect(file.hash(of: "e\u{301}") != nil)
    }

    @Test("every line that is wrong is named, with its number and without what it says")
    func wrongLines() {
        let found = problems(
            "ann:\(Self.hash)\nnonsense\n:\(Self.hash)\nbob:geheim\nann:\(Self.hash)\nc\u{7}d:\(Self.hash)\nzoe:\n")
        #expect(found.count == 6)
        for (text, (line, word)) in zip(
            found,
            [
                (2, "no colon"), (3, "needs a name"), (4, "not hashed"), (5, "line 1"), (6, "control characters"),
                (7, "not hashed"),
            ]
        ) {
            #expect(text.hasPrefix("users:\(line): ") && text.contains(word), "\(text)")
            #expect(!text.contains("geheim") && !text.contains("nonsense"))
        }
    }

    @Test("an unknown user costs what one of the users costs, always the same for one name")
    func standIn() throws {
        let empty = UserFile()
        #expect(empty.standIn(for: "x").method == PasswordHash.cost)
        let cheap = try PasswordHash(password: [0x61], method: PasswordHashTests.cheap)
        let file = try UserFile("ann:\(Self.hash)\nbob:\(cheap.text)\n", path: "users")
        var methods: Set<PasswordHash.Method> = []
        for number in 0..<64 {
            let standIn = file.standIn(for: "user-\(number)")
            #expect(standIn == file.standIn(for: "user-\(number)"))
            #expect(!standIn.matches(Array("pass".utf8)))
            methods.insert(standIn.method)
        }
        #expect(methods == [.sha512, PasswordHashTests.cheap])
    }

    @Test("who is gone or has another password has changed; who is new, or only elsewhere, has not")
    func changed() throws {
        let other = try PasswordHash(password: [0x61], method: PasswordHashTests.cheap).text
        let before = try UserFile("a:\(Self.hash)\nb:\(Self.hash)\nc:\(Self.hash)\n", path: "users")
        let after = try UserFile("d:\(other)\nc:\(Self.hash)\nb:\(other)\n", path: "users")
        #expect(before.changed(in: after) == ["a", "b"])
        #expect(before.changed(in: before).isEmpty)
    }

    // MARK: - Changing it

    private func inFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "drawbridge-\(UUID().uuidString)").path()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: folder) } }
        try body(folder)
    }

    private func mode(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    @Test("a new file is for its owner only, and its user comes in")
    func newFile() throws {
        try inFolder { folder in
            let path = folder + "/users"
            #expect(try UserFileEdit(path: path).set("ann", password: Array("secret".utf8)))
            #expect(try mode(path) == 0o600)
            let file = try UserFile.load(path: path).file
            #expect(file.names == ["ann"])
            #expect(file.hash(of: "ann")?.matches(Array("secret".utf8)) == true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["users"])
        }
    }

    @Test("other lines, comments, rights and links stay as they are")
    func neighbours() throws {
        try inFolder { folder in
            let path = folder + "/users"
            let before = "# staff\n\nann:\(Self.hash)\r\nbroken line\nbob:\(Self.hash)"
            try before.write(toFile: path, atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
            let link = folder + "/link"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "users")
            let edit = UserFileEdit(path: link)
            #expect(try edit.set("ann", password: Array("x".utf8)) == false)
            #expect(try edit.set("zoe", password: Array("y".utf8)))
            try edit.delete("bob")
            let lines = try String(contentsOfFile: path, encoding: .utf8).split(
                separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count == 6)
            #expect(lines[0] == "# staff" && lines[1].isEmpty && lines[3] == "broken line" && lines[5].isEmpty)
            #expect(lines[2].hasPrefix("ann:$scrypt$") && lines[4].hasPrefix("zoe:$scrypt$"))
            #expect(try mode(path) == 0o640)
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "users")
        }
    }

    @Test("what cannot be is refused in a sentence and changes nothing")
    func refused() throws {
        try inFolder { folder in
            let edit = UserFileEdit(path: folder + "/users")
            for name in ["", "a:b", "#a", "a\nb", String(repeating: "a", count: 1025)] {
                #expect(throws: UserFileEdit.Problem.self) { try edit.set(name, password: [0x61]) }
            }
            #expect(throws: UserFileEdit.Problem.self) { try edit.set("ann", password: []) }
            #expect(throws: UserFileEdit.Problem.self) { try edit.delete("ann") }
            #expect(throws: UserFileEdit.Problem.self) {
                try UserFileEdit(path: folder + "/no/users").set("ann", password: [0x61])
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(left.isEmpty)
            #expect(UserFileEdit.isOddInPatterns("a/b") && !UserFileEdit.isOddInPatterns("ann"))
        }
    }
}

import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("Opening a spool that is not as it should be")
struct OpeningTests {
    private let now = Timestamp(microseconds: 1)

    @Test("a second opening of the same directory is refused and names the process that holds it")
    func locked() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice))
        #expect(throws: SpoolError.locked(path: fixture.folder, by: getpid())) {
            try Spool.open(SpoolOptions(directory: fixture.folder), now: now)
        }
        try fixture.commit(.message(to: alice))
        #expect(try fixture.positions(alice).map(\.number) == [1, 2], "the refused attempt did no harm")
        fixture.spool.close()
        let (second, contents) = try Spool.open(SpoolOptions(directory: fixture.folder), now: now)
        #expect(contents.receivers.map(\.depth) == [2])
        second.close()
    }

    @Test("a lock held by another process is respected")
    func lockedByAnotherProcess() throws {
        let fixture = try SpoolFixture()
        fixture.spool.close()
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/flock")
        process.arguments = ["\(fixture.folder)/spool.lock", "sh", "-c", "echo held; read line"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        #expect(output.fileHandleForReading.availableData == Data("held\n".utf8))
        #expect {
            try fixture.reopen()
        } throws: { error in
            if case SpoolError.locked = error { true } else { false }
        }
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        try fixture.reopen()
    }

    @Test("a file of a newer Drawbridge is not touched")
    func newerSchema() throws {
        let fixture = try SpoolFixture()
        fixture.spool.close()
        _ = try fixture.sql("PRAGMA user_version = 99")
        #expect(throws: SpoolError.newerSchema(found: 99, known: 5)) { try fixture.reopen() }
    }

    @Test("a file that is no database, or that of another program, is refused and left as it is")
    func foreignFile() throws {
        let fixture = try SpoolFixture()
        fixture.spool.close()
        let path = "\(fixture.folder)/spool.sqlite"
        let text = Data(String(repeating: "This is not a database. ", count: 100).utf8)
        try text.write(to: URL(filePath: path))
        #expect { try fixture.reopen { $0.whenCorrupt = .stop } } throws: { isCorrupt($0) }
        #expect(try Data(contentsOf: URL(filePath: path)) == text)
        try FileManager.default.removeItem(atPath: path)
        _ = try fixture.sql("CREATE TABLE other (x)")
        #expect { try fixture.reopen { $0.whenCorrupt = .stop } } throws: { isCorrupt($0) }
    }

    @Test("a damaged page is found when the spool opens")
    func damagedPage() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        for _ in 0..<200 { fixture.append(.message(String(repeating: "x", count: 500), to: alice)) }
        fixture.spool.close()
        let file = try FileHandle(forUpdating: URL(filePath: "\(fixture.folder)/spool.sqlite"))
        let size = try file.seekToEnd()
        for page in stride(from: UInt64(4 * 4096), to: size, by: 4096) {
            try file.seek(toOffset: page)
            try file.write(contentsOf: Data(repeating: 0x5A, count: 64))
        }
        try file.close()
        #expect { try fixture.reopen { $0.whenCorrupt = .stop } } throws: { isCorrupt($0) }
    }

    @Test("a directory that cannot be made or written is named, with the reason")
    func unwritable() throws {
        let file = SpoolFixture.freshFolder()
        try Data().write(to: URL(filePath: file))
        defer { unlink(file) }
        #expect(throws: SpoolError.cannotCreate(path: file, reason: "a file has this name")) {
            try Spool.open(SpoolOptions(directory: file), now: now)
        }
        #expect {
            try Spool.open(SpoolOptions(directory: file + "/below"), now: now)
        } throws: { error in
            if case SpoolError.cannotCreate = error { true } else { false }
        }
        // Nobody may make files here, root included.
        #expect {
            try Spool.open(SpoolOptions(directory: "/proc/self"), now: now)
        } throws: { error in
            if case SpoolError.notWritable(path: "/proc/self/spool.lock", _) = error { true } else { false }
        }
    }

    @Test("every error says in one line what was wrong and what to do")
    func descriptions() {
        let errors: [SpoolError] = [
            .cannotCreate(path: "/p", reason: "r"), .notWritable(path: "/p", reason: "r"), .locked(path: "/p", by: 7),
            .locked(path: "/p", by: nil), .corrupt(detail: "d"), .newerSchema(found: 2, known: 1),
            .pragma(name: "n", found: "f", wanted: "w"), .io(code: 10, context: "c"),
        ]
        for error in errors {
            #expect(!error.description.contains("\n"))
            #expect(error.description.contains(";"), "a cause and an advice: \(error)")
        }
    }

    private func isCorrupt(_ error: any Error) -> Bool { if case SpoolError.corrupt = error { true } else { false } }
}

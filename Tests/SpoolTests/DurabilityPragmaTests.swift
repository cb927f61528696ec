import BrokerCore
import Foundation
import Spool
import Testing

@Suite("Durability: what SQLite really does")
struct DurabilityPragmaTests {
    @Test("a fresh spool is in WAL mode with incremental vacuum, its folder 0700 and its files 0600")
    func freshFile() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        #expect(try fixture.sql("PRAGMA journal_mode") == "wal")
        #expect(try fixture.sql("PRAGMA auto_vacuum") == "2")
        #expect(try mode(fixture.folder) == 0o700)
        for name in ["spool.sqlite", "spool.sqlite-wal", "spool.sqlite-shm", "spool.lock"] {
            #expect(try mode("\(fixture.folder)/\(name)") == 0o600, "\(name)")
        }
    }

    @Test("the writer reads back journal_mode = wal, synchronous = 2 and auto_vacuum = 2 on its own connection")
    func readBack() throws {
        let fixture = try SpoolFixture()
        #expect(fixture.spool.durability == .sync)
    }

    @Test("the log is emptied when the spool closes")
    func checkpointAtClose() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice))
        fixture.spool.close()
        #expect(!FileManager.default.fileExists(atPath: "\(fixture.folder)/spool.sqlite-wal"))
        #expect(try fixture.sql("SELECT count(*) FROM message") == "1")
    }

    @Test("the log does not grow beyond its bound while batch follows batch")
    func checkpointBetweenBatches() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.link(alice))
        let payload = String(repeating: "x", count: 100_000)
        for _ in 0..<60 { try fixture.commit((0..<10).map { _ in .message(payload, to: alice) }) }
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(fixture.folder)/spool.sqlite-wal")
        let size = try #require(attributes[.size] as? NSNumber).intValue
        #expect(size < 20 * 1024 * 1024, "60 MB went through it")
    }

    @Test("the log is emptied when nothing comes for a moment")
    func checkpointWhenIdle() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice))
        let path = "\(fixture.folder)/spool.sqlite-wal"
        let deadline = ContinuousClock.now + .seconds(30)
        var size = 1
        while size > 0, ContinuousClock.now < deadline {
            size = try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? NSNumber).intValue
            sched_yield()
        }
        #expect(size == 0)
        try fixture.commit(.message(to: alice))
        #expect(try fixture.positions(alice).count == 2)
    }

    @Test("a large file whose messages are gone gives its pages back")
    func vacuum() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.link(alice))
        let payload = String(repeating: "x", count: 100_000)
        for _ in 0..<20 { try fixture.commit((0..<10).map { _ in .message(payload, to: alice) }) }
        try fixture.commit((1...200).map { .acknowledged(alice, Position($0)) })
        fixture.spool.close()
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(fixture.folder)/spool.sqlite")
        #expect(try #require(attributes[.size] as? NSNumber).intValue < 1024 * 1024)
    }

    @Test("pages are given back while the spool is open, once nothing waits")
    func vacuumWhenIdle() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.link(alice))
        let payload = String(repeating: "x", count: 100_000)
        for _ in 0..<20 { try fixture.commit((0..<10).map { _ in .message(payload, to: alice) }) }
        try fixture.commit((1...199).map { .acknowledged(alice, Position($0)) })
        let path = "\(fixture.folder)/spool.sqlite"
        let deadline = ContinuousClock.now + .seconds(30)
        var size = Int.max
        while size > 1024 * 1024, ContinuousClock.now < deadline {
            size = try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? NSNumber).intValue
            sched_yield()
        }
        #expect(size <= 1024 * 1024)
        #expect(try fixture.positions(alice).map(\.number) == [200])
    }

    @Test("pages are given back although commit follows commit")
    func vacuumWhileBusy() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.link(alice))
        let payload = String(repeating: "x", count: 100_000)
        for _ in 0..<20 { try fixture.commit((0..<10).map { _ in .message(payload, to: alice) }) }
        #expect(fixture.spool.diskBytes.database + fixture.spool.diskBytes.log > 12 << 20)
        try fixture.commit((1...199).map { .acknowledged(alice, Position($0)) })
        // The file becomes shorter when the log is moved into it, so much must go through that. One step on a disk that
        // stands still for seconds is followed by a rest of minutes.
        let deadline = ContinuousClock.now + .seconds(300)
        while fixture.spool.diskBytes.database > 8 << 20, ContinuousClock.now < deadline {
            let first = try fixture.commit((0..<10).map { _ in .message(payload, to: alice) }).number
            try fixture.commit((0..<10).map { .acknowledged(alice, Position(first + $0)) })
        }
        #expect(fixture.spool.diskBytes.database <= 8 << 20)
        #expect(try fixture.positions(alice).map(\.number) == [200])
        #expect(try fixture.sql("PRAGMA integrity_check") == "ok")
    }

    @Test("a log that grew while somebody read an old state is cut back although commit follows commit")
    func logCutBack() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.link(alice), .message(to: alice))
        let other = try fixture.besides("BEGIN; SELECT count(*) FROM message;", answers: "1")
        let payload = String(repeating: "x", count: 100_000)
        for _ in 0..<45 { try fixture.commit((0..<10).map { _ in .message(payload, to: alice) }) }
        #expect(fixture.spool.diskBytes.log > 40 << 20)
        try other.end()
        let deadline = ContinuousClock.now + .seconds(30)
        while fixture.spool.diskBytes.log > 32 << 20, ContinuousClock.now < deadline {
            try fixture.commit(.message(payload, to: alice))
        }
        #expect(fixture.spool.diskBytes.log <= 32 << 20)
    }

    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? NSNumber).intValue
    }
}

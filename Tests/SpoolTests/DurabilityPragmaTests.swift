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
        #expect(fixture.spool.durability == ["journal_mode": "wal", "synchronous": "2", "auto_vacuum": "2"])
    }

    @Test("the log is emptied when the spool closes")
    func checkpointAtClose() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice))
        fixture.spool.close()
        #expect(!FileManager.default.fileExists(atPath: "\(fixture.folder)/spool.sqlite-wal"))
        #expect(try fixture.sql("SELECT count(*) FROM message") == "1")
    }

    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? NSNumber).intValue
    }
}

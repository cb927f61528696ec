import BrokerCore
import Foundation
import MQTTCodec
import Spool
import Testing

@Suite("A spool that is not the one that ran here last")
struct OldCopyTests {
    /// The file alone, as an operator puts it back.
    private func replace(_ fixture: SpoolFixture, with copy: String) throws {
        for suffix in ["", "-wal", "-shm"] {
            let path = fixture.folder + "/spool.sqlite" + suffix
            if FileManager.default.fileExists(atPath: path) { try FileManager.default.removeItem(atPath: path) }
        }
        try FileManager.default.copyItem(atPath: copy, toPath: fixture.folder + "/spool.sqlite")
    }

    @Test("a spool that is opened again and again is never called old")
    func theSame() throws {
        let fixture = try SpoolFixture()
        for start in 1...3 {
            #expect(fixture.spool.notices == [] && fixture.spool.bootCount == UInt64(start))
            try fixture.commit(.session(alice), .message(to: alice))
            try fixture.reopen()
        }
    }

    @Test("a copy that a running spool made says so once, and gives no position again")
    func copy() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice))
        let target = fixture.folder + "/copy"
        #expect(try fixture.spool.copy(to: target).messages == 1)
        #expect(throws: SpoolToolError.targetExists(path: target)) { try fixture.spool.copy(to: target) }
        #expect(throws: SpoolToolError.notAbsolute(path: "copy")) { try fixture.spool.copy(to: "copy") }
        let after = try fixture.commit(.message(to: alice))
        fixture.spool.close()
        try replace(fixture, with: target)
        try fixture.reopen()
        #expect(fixture.spool.notices.count == 1 && fixture.spool.notices[0].contains("is a copy"))
        #expect(try fixture.commit(.message(to: alice)) > after)
        #expect(fixture.spool.depth(of: alice) == 2)
        try fixture.reopen()
        #expect(fixture.spool.notices == [])
    }

    @Test("a file of an earlier start is recognised by the count of starts")
    func earlierStart() throws {
        let fixture = try SpoolFixture()
        fixture.spool.close()
        let old = fixture.folder + "/old"
        try FileManager.default.copyItem(atPath: fixture.folder + "/spool.sqlite", toPath: old)
        try fixture.reopen()
        fixture.spool.close()
        try replace(fixture, with: old)
        try fixture.reopen()
        #expect(fixture.spool.notices.count == 1 && fixture.spool.notices[0].contains("by 1 start:"))
    }

    @Test("another spool, and none, are told from the one that ran here")
    func anotherSpool() throws {
        let (one, other) = (try SpoolFixture(), try SpoolFixture())
        one.spool.close()
        other.spool.close()
        try replace(one, with: other.folder + "/spool.sqlite")
        try one.reopen()
        #expect(one.spool.notices == ["this is not the spool that ran here last"])
        one.spool.close()
        try FileManager.default.removeItem(atPath: one.folder + "/spool.sqlite")
        try one.reopen()
        #expect(one.spool.notices.count == 1 && one.spool.notices[0].contains("is gone"))
        #expect(one.spool.quarantine?.description.contains("is gone") == true)
    }

    @Test(
        "a note that is missing or nonsense is no reason for alarm, or for not starting",
        arguments: [
            "", "nonsense", "spool=1 starts=2", "spool=-1 starts=99999999999999999999 batch=0",
        ])
    func unreadableNote(_ text: String) throws {
        let fixture = try SpoolFixture()
        fixture.spool.close()
        try text.write(toFile: fixture.folder + "/spool.boot", atomically: false, encoding: .utf8)
        try fixture.reopen()
        #expect(fixture.spool.notices == [])
    }
}

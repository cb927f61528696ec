import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("Records that are not taken, and rows that are damaged")
struct SetAsideTests {
    private func poisoned() throws -> SpoolFixture {
        try SpoolFixture {
            $0.hooks.willInsert = { (message) throws(SpoolError) in
                if String(buffer: message.payload) == "poison" { throw .io(code: 18, context: "too big") }
            }
        }
    }

    @Test("a poisonous message stands alone in the end: the others of its batch are stored, in one transaction")
    func poison() throws {
        let fixture = try poisoned()
        try fixture.commit(.session(alice), .session(bob))
        var records = (0..<37).map { SpoolRecord.message("\($0)", to: alice, bob) }
        records[5] = .message("poison", to: alice)
        records[30] = .message("poison", to: alice, bob)
        records.append(.inboundPublish(alice, packetID: 4))
        try fixture.commit(records)
        #expect(fixture.spool.state == .ok && fixture.tidings.now.refusals.isEmpty, "the disk is well")
        #expect(fixture.spool.statistics.commits == 2 && fixture.spool.statistics.failures == 0)
        #expect(fixture.spool.statistics.recordsSetAside == 2)
        #expect(fixture.spool.statistics.rowsWritten == 35)
        #expect(fixture.tidings.now.dropped == [alice: 2, bob: 1])
        #expect(fixture.spool.drops(of: bob) == [.setAside: 1])
        let sound = (1...37).filter { $0 != 6 && $0 != 31 }
        #expect(try fixture.positions(alice).map(\.number) == sound.map(UInt64.init))
        #expect(fixture.spool.depth(of: bob) == 35)
        let aside = try fixture.sql("SELECT kind || position || name || CAST(payload AS TEXT) FROM aside")
        #expect(aside == "message6room/1poison\nmessage31room/1poison")
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.depth) == [35, 35])
        #expect(fixture.contents.receivers.map(\.inbound) == [[4], []])
    }

    @Test("a poisonous retained message and will are set aside as well")
    func others() throws {
        let fixture = try poisoned()
        try fixture.commit(
            .retain(.sample("poison", topic: "r")), .retain(.sample("sound", topic: "s")),
            .will(WillRecord(clientID: "c", message: .sample("poison"), delay: 1))
        )
        #expect(try fixture.sql("SELECT group_concat(kind || '=' || name) FROM aside") == "retained=r,will=c")
        try fixture.reopen()
        #expect(fixture.contents.retained.map(\.topic) == ["s"] && fixture.contents.wills.isEmpty)
    }

    @Test("a damaged row leaves the depth of all who wait for it, and is kept for people")
    func damaged() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .session(bob))
        for _ in 0..<3 { try fixture.commit(.message(to: alice, bob)) }
        fixture.spool.close()
        _ = try fixture.sql("UPDATE message SET payload = 'jello' WHERE position = 2")
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.depth) == [3, 3], "found when it is read")
        #expect(try fixture.positions(alice).map(\.number) == [1, 3])
        try fixture.tidings.wait("the loss") { $0.dropped == [alice: 1, bob: 1] }
        #expect(fixture.spool.depth(of: alice) == 2 && fixture.spool.depth(of: bob) == 2)
        #expect(fixture.spool.drops(of: bob) == [.damaged: 1])
        try fixture.commit(.session(alice))
        #expect(try fixture.sql("SELECT reason || position || CAST(payload AS TEXT) FROM aside") == "damaged2jello")
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.depth) == [2, 2])
    }

    @Test("a list of receivers that cannot be read is found at the start")
    func damagedReceivers() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice), .message(to: alice))
        fixture.spool.close()
        _ = try fixture.sql("UPDATE message SET receivers = x'01FF' WHERE position = 1")
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.depth) == [1])
        #expect(fixture.spool.statistics.damagedRows == 1)
    }
}

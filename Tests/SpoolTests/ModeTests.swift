import BrokerCore
import Foundation
import Spool
import Testing

@Suite("Modes of durability")
struct ModeTests {
    @Test("each mode is what SQLite reads back", arguments: [DurabilityMode.sync, .normal, .off])
    func readBack(mode: DurabilityMode) throws {
        let fixture = try SpoolFixture { $0.mode = mode }
        #expect(fixture.spool.durability == mode)
        let position = try fixture.commit(.session(alice), .message(to: alice))
        try fixture.reopen()
        #expect(try fixture.positions(alice) == [position])
    }

    @Test(
        "a batch that demands it is committed with fsync under a weaker mode",
        arguments: [
            DurabilityMode.normal, .off,
        ])
    func demandsSync(mode: DurabilityMode) throws {
        let fixture = try SpoolFixture { $0.mode = mode }
        try fixture.commit(.session(alice), .message(to: alice))
        #expect(fixture.spool.statistics.commitsDemanded == 0)
        // SQLite's setting is read back each way: a value that was not taken would be a failure.
        try fixture.commit(.message(to: alice), .demandsSync)
        try fixture.commit(.demandsSync)
        try fixture.commit(.message(to: alice))
        #expect(fixture.spool.statistics.commitsDemanded == 2)
        #expect(fixture.spool.statistics.failures == 0)
        try fixture.reopen { $0.mode = .sync }
        try fixture.commit(.demandsSync)
        #expect(fixture.spool.statistics.commitsDemanded == 0, "every commit is made sure of anyway")
        #expect(try fixture.positions(alice).count == 2 + 1)
    }
}

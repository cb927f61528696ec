import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("Share groups on disk")
struct SharedGroupTests {
    private static let group = ReceiverID(3)

    private static func makes(_ receiver: ReceiverID) -> SpoolRecord {
        .receiver(
            ReceiverRecord(
                receiver: receiver,
                kind: .group(filter: "$share/g/t"),
                expiryInterval: .max,
                disconnectedAt: nil
            )
        )
    }

    @Test("a group keeps its name, its queue and what it has done over a restart")
    func restart() throws {
        let fixture = try SpoolFixture()
        let group = Self.group
        try fixture.commit(.session(alice), .session(bob), Self.makes(group))
        try fixture.commit(.message("1", to: group), .message("2", to: group, alice), .message("3", to: group))
        try fixture.commit(.acknowledged(group, Position(2)))
        let killed = try fixture.copyAsIfKilled()
        for fixture in [fixture, killed] {
            try fixture.reopen()
            let receiver = try #require(fixture.contents.receivers.last)
            #expect(receiver.record.kind == .group(filter: "$share/g/t"))
            #expect(receiver.depth == 2)
            #expect(try fixture.positions(group) == [Position(1), Position(3)])
            #expect(try fixture.positions(alice) == [Position(2)], "its own copy waits on")
        }
    }

    @Test("an exchange of a member remembers the group whose message it is [5:MQTT-4.8.2-4]")
    func exchange() throws {
        let fixture = try SpoolFixture()
        let group = Self.group
        try fixture.commit(.session(alice), .session(bob), Self.makes(group))
        try fixture.commit(.message(to: group, alice))
        try fixture.commit(
            .outboundPublish(alice, packetID: 1, Position(1)),
            .outboundShared(alice, packetID: 2, Position(1), of: group)
        )
        try fixture.reopen()
        #expect(
            Set(fixture.contents.receivers.flatMap(\.outbound)) == [
                .init(packetID: 1, position: Position(1), isReleased: false),
                .init(packetID: 2, position: Position(1), isReleased: false, source: group),
            ])
        // PUBREC: the group is done with it, the member waits for PUBCOMP; the member's own copy is not touched.
        try fixture.commit(.acknowledged(group, Position(1)), .outboundRelease(alice, packetID: 2, .zero))
        try fixture.reopen()
        #expect(try fixture.positions(group).isEmpty)
        #expect(try fixture.positions(alice) == [Position(1)])
        #expect(
            fixture.contents.receivers.flatMap(\.outbound).first { $0.packetID == 2 }
                == .init(packetID: 2, position: .zero, isReleased: true))
    }

    @Test("the survey, the check and the dump call a group by its filter")
    func inspection() throws {
        let fixture = try SpoolFixture()
        let group = Self.group
        try fixture.commit(.session(alice), Self.makes(group), .message(to: group))
        try fixture.commit(.givenUp(group, Position(1), .ended), .message(to: group))
        let survey = try fixture.spool.survey()
        let shown = try #require(survey.receivers.first)
        #expect(shown.name == "$share/g/t" && shown.kind == .group && shown.tally.waiting == 1)
        #expect(shown.tally.dropped[.ended] == 1)
        #expect(survey.receivers.last?.kind == .session)
        fixture.spool.close()
        let file = try SpoolFile(fixture.folder)
        #expect(try file.check().counts.first { $0.name == "share groups" }?.count == 1)
    }

    @Test("a file of schema 2 keeps its exchanges, also when it is damaged and salvaged", arguments: [false, true])
    func olderFile(isDamaged: Bool) throws {
        let fixture = try SpoolFixture { $0.whenCorrupt = .quarantine }
        try fixture.commit(.session(alice), .message(to: alice), .outboundPublish(alice, packetID: 7, Position(1)))
        fixture.spool.close()
        _ = try fixture.sql(
            """
            DROP TABLE carried; DROP TABLE stream; ALTER TABLE outbound DROP COLUMN source; PRAGMA user_version = 2
            """
        )
        if isDamaged {
            let root = try #require(
                Int(try fixture.sql("SELECT rootpage FROM sqlite_schema WHERE name = 'will'")))
            let size = try #require(Int(try fixture.sql("PRAGMA page_size")))
            let file = try #require(FileHandle(forWritingAtPath: "\(fixture.folder)/spool.sqlite"))
            try file.seek(toOffset: UInt64((root - 1) * size))
            try file.write(contentsOf: Data(repeating: 0xFF, count: size))
            try file.close()
        }
        try fixture.reopen()
        #expect((fixture.spool.quarantine != nil) == isDamaged)
        #expect(
            fixture.contents.receivers.map(\.outbound) == [
                [.init(packetID: 7, position: Position(1), isReleased: false)]
            ])
    }
}

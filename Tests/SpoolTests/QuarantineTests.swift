import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("A spool that is damaged or foreign when it opens")
struct QuarantineTests {
    @Test(
        "a damaged page costs what was on it: all else is in the new file, the old one is kept",
        arguments: [
            0.3, 0.6, 1.0,
        ])
    func damagedPage(at place: Double) throws {
        let fixture = try filled()
        let path = "\(fixture.folder)/spool.sqlite"
        let before = try pagesOfMessages(fixture)
        let page = try #require(
            before.dropLast(place == 1 ? 0 : 1).dropFirst(Int(Double(before.count - 1) * place)).first)
        try overwrite(path, page: page)
        fixture.wall = Timestamp(microseconds: 77_000_000)
        try fixture.reopen()
        let report = try #require(fixture.spool.quarantine)
        #expect(report.path == "\(fixture.folder)/spool.corrupt-77")
        #expect(FileManager.default.fileExists(atPath: "\(fixture.folder)/spool.corrupt-77"))
        let messages = try #require(report.tables.first { $0.name == "message" })
        #expect(!messages.isComplete && messages.salvaged < 400 && messages.salvaged > 350)
        #expect(fixture.spool.depth(of: alice) == messages.salvaged)
        let found = try fixture.page(alice).entries
        #expect(found.count == messages.salvaged)
        #expect(found.allSatisfy { String(buffer: $0.message.payload).hasPrefix("\($0.position.number)x") })
        #expect(fixture.contents.receivers.map(\.subscriptions.count) == [1])
        #expect(fixture.contents.retained.count == 1 && fixture.contents.wills.count == 1)
        let next = try fixture.commit(.message(to: alice))
        #expect(next > Position(400), "no position is given twice")
        try fixture.reopen()
        #expect(fixture.spool.quarantine == nil, "the new file is sound")
        #expect(fixture.spool.depth(of: alice) == messages.salvaged + 1)
    }

    @Test("stop leaves the damaged file as it is")
    func stop() throws {
        let fixture = try filled()
        let path = "\(fixture.folder)/spool.sqlite"
        try overwrite(path, page: try pagesOfMessages(fixture)[3])
        let bytes = try Data(contentsOf: URL(filePath: path))
        #expect { try fixture.reopen { $0.whenCorrupt = .stop } } throws: { isCorrupt($0) }
        #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
    }

    @Test("a file that was cut short is salvaged as far as it goes")
    func truncated() throws {
        let fixture = try filled()
        let path = "\(fixture.folder)/spool.sqlite"
        #expect(truncate(path, off_t(20 * 4096)) == 0)
        try fixture.reopen()
        let report = try #require(fixture.spool.quarantine)
        let messages = try #require(report.tables.first { $0.name == "message" })
        #expect(!messages.isComplete)
        #expect(fixture.spool.depth(of: alice) == messages.salvaged)
        #expect(fixture.contents.receivers.map(\.subscriptions.count) == [1])
        #expect(!report.description.contains("\n"))
    }

    @Test("what is no database, or that of another program, is set aside whole", arguments: [true, false])
    func foreign(isDatabase: Bool) throws {
        let fixture = try filled()
        fixture.spool.close()
        let path = "\(fixture.folder)/spool.sqlite"
        try FileManager.default.removeItem(atPath: path)
        if isDatabase {
            _ = try fixture.sql("CREATE TABLE message (x); INSERT INTO message VALUES (1)")
        } else {
            try Data(repeating: 0x41, count: 10_000).write(to: URL(filePath: path))
        }
        let bytes = try Data(contentsOf: URL(filePath: path))
        try fixture.reopen()
        let report = try #require(fixture.spool.quarantine)
        #expect(try Data(contentsOf: URL(filePath: try #require(report.path))) == bytes)
        #expect(report.tables.allSatisfy { $0.salvaged == 0 })
        try fixture.commit(.session(alice), .message(to: alice))
    }

    @Test("a file that is gone, or empty, is never taken for a first start", arguments: [true, false])
    func lost(isEmpty: Bool) throws {
        let fixture = try filled()
        fixture.spool.close()
        let path = "\(fixture.folder)/spool.sqlite"
        try FileManager.default.removeItem(atPath: path)
        if isEmpty { try Data().write(to: URL(filePath: path)) }
        #expect { try fixture.reopen { $0.whenCorrupt = .stop } } throws: { isCorrupt($0) }
        try fixture.reopen { $0.whenCorrupt = .quarantine }
        let report = try #require(fixture.spool.quarantine)
        #expect(report.path == nil)
        #expect(report.description.contains("missing or empty"))
    }

    @Test("a salvage that was cut off is done again by the next start")
    func cutOff() throws {
        let fixture = try filled()
        fixture.spool.close()
        let folder = fixture.folder
        try Data("spool.corrupt-5".utf8).write(to: URL(filePath: "\(folder)/spool.salvaging"))
        try FileManager.default.moveItem(atPath: "\(folder)/spool.sqlite", toPath: "\(folder)/spool.corrupt-5")
        try Data("half".utf8).write(to: URL(filePath: "\(folder)/spool.salvage"))
        try fixture.reopen()
        #expect(fixture.spool.quarantine?.path == "\(folder)/spool.corrupt-5")
        #expect(fixture.spool.depth(of: alice) == 400)
        try fixture.reopen()
        #expect(fixture.spool.quarantine == nil)
    }

    @Test("rows with a wrong checksum are not salvaged, and counted")
    func checksums() throws {
        let fixture = try filled()
        fixture.spool.close()
        _ = try fixture.sql("UPDATE message SET payload = 'x' WHERE position IN (7, 9)")
        try overwrite("\(fixture.folder)/spool.sqlite", page: try pagesOfMessages(fixture)[5])
        try fixture.reopen()
        let messages = try #require(fixture.spool.quarantine?.tables.first { $0.name == "message" })
        #expect(messages.damaged == 2)
        #expect(try !fixture.positions(alice).contains { $0.number == 7 || $0.number == 9 })
    }

    @Test("a receiver of no known kind is damage, and not a link")
    func unknownKind() throws {
        let fixture = try filled()
        _ = try fixture.sql("UPDATE receiver SET kind = 9")
        #expect(try SpoolFile(fixture.folder).check().damage.contains { $0.hasSuffix("it is of no known kind") })
        #expect { try fixture.reopen { $0.whenCorrupt = .stop } } throws: { isCorrupt($0) }
        try fixture.reopen { $0.whenCorrupt = .quarantine }
        let receivers = try #require(fixture.spool.quarantine?.tables.first { $0.name == "receiver" })
        #expect(receivers.damaged == 1 && receivers.salvaged == 0)
        #expect(fixture.contents.receivers.isEmpty)
    }

    @Test("a receiver that is done with what has not come gets again all that names it", arguments: [-1, 1 << 40])
    func progressAhead(lowWater: Int) throws {
        let fixture = try filled()
        _ = try fixture.sql("UPDATE receiver SET low_water = \(lowWater)")
        try fixture.reopen()
        #expect(fixture.spool.quarantine == nil)
        #expect(fixture.spool.statistics.damagedRows == 1)
        #expect(fixture.spool.depth(of: alice) == 400)
        #expect(try fixture.page(alice).entries.count == 400)
    }

    @Test("a node row that is behind the messages gives no position twice")
    func positionsBehind() throws {
        let fixture = try filled()
        _ = try fixture.sql("UPDATE node SET next_position = 5, is_open = 0")
        try fixture.reopen()
        #expect(try fixture.commit(.message(to: alice)) == Position(401))
        #expect(fixture.spool.depth(of: alice) == 401)
    }

    /// 400 messages of half a kilobyte, and one of everything else.
    private func filled() throws -> SpoolFixture {
        let fixture = try SpoolFixture()
        let filter = SubscriptionRecord(filter: "a/+", options: SubscriptionOptions(), identifier: 4)
        try fixture.commit(
            .link(alice), .subscribe(alice, filter), .retain(.sample()),
            .will(WillRecord(clientID: "c", message: .sample(), delay: 1))
        )
        let tail = String(repeating: "x", count: 500)
        try fixture.commit((1...400).map { .message("\($0)\(tail)", to: alice) })
        fixture.spool.close()
        return fixture
    }

    /// Numbers of the leaf pages that hold messages, in order.
    private func pagesOfMessages(_ fixture: SpoolFixture) throws -> [UInt64] {
        // Without the table `dbstat`: leaf pages of a table begin with 0x0D, and ours hold this text.
        let data = try Data(contentsOf: URL(filePath: "\(fixture.folder)/spool.sqlite"))
        return (1..<data.count / 4096).compactMap { page in
            let bytes = data[page * 4096..<(page + 1) * 4096]
            return bytes.first == 0x0D && bytes.range(of: Data("xxxxxxxxxxxxxxxx".utf8)) != nil ? UInt64(page) : nil
        }
    }

    private func overwrite(_ path: String, page: UInt64) throws {
        let file = try FileHandle(forUpdating: URL(filePath: path))
        try file.seek(toOffset: page * 4096)
        try file.write(contentsOf: Data(repeating: 0x5A, count: 64))
        try file.close()
    }

    private func isCorrupt(_ error: any Error) -> Bool { if case SpoolError.corrupt = error { true } else { false } }
}

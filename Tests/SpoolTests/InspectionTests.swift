import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("Looking at a spool: survey, check, dump, compact")
struct InspectionTests {
    @Test("the survey agrees with the file, whoever acknowledged what in which order")
    func surveyAgreesWithDepths() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice, "alice"), .session(bob, "bob"))
        var numbers = SystemRandomNumberGenerator()
        var waiting = ["alice": 0, "bob": 0]
        for _ in 0..<60 {
            waiting["alice", default: 0] += 2
            waiting["bob", default: 0] += 2
            let first = try fixture.commit(.message(to: alice, bob), .message(to: alice), .message(to: bob))
            var records: [SpoolRecord] = []
            for offset in 0..<3 where Bool.random(using: &numbers) {
                let position = Position(first.number + UInt64(offset))
                let isAlice = offset == 1 || offset == 0 && Bool.random(using: &numbers)
                records.append(.acknowledged(isAlice ? alice : bob, position))
                waiting[isAlice ? "alice" : "bob", default: 0] -= 1
            }
            if !records.isEmpty { try fixture.commit(records) }
            let survey = try fixture.spool.survey()
            #expect(Dictionary(uniqueKeysWithValues: survey.receivers.map { ($0.name, $0.tally.waiting) }) == waiting)
            #expect(survey.receivers[0].tally.waiting >= survey.receivers[1].tally.waiting, "the deepest first")
        }
        let survey = try fixture.spool.survey()
        #expect(survey.messages == Int(try fixture.sql("SELECT count(*) FROM message")))
        let perMessage = MQTTString("room/1").count + "hello".utf8.count
        for receiver in survey.receivers {
            #expect(receiver.tally.bytes == receiver.tally.waiting * perMessage)
            #expect(receiver.oldest == Timestamp(microseconds: 7), "the time that the id begins with")
        }
        #expect(survey.bytes == survey.messages * perMessage)
        #expect(survey.oldest == Timestamp(microseconds: 7))
        let shown = try fixture.spool.survey(limit: 1)
        #expect(shown.receivers.map { $0.oldest == nil } == [false, true], "looked up only for those that are shown")
        try fixture.reopen()
        let again = try fixture.spool.survey()
        #expect(again.messages == survey.messages && again.bytes == survey.bytes && again.oldest == survey.oldest)
        #expect(again.receivers.map(\.tally.waiting) == survey.receivers.map(\.tally.waiting))
        fixture.spool.close()
        let counts = try SpoolFile(fixture.folder).check().counts
        #expect(counts.first { $0.name == "deliveries that wait" }?.count == waiting.values.reduce(0, +))
    }

    @Test("an empty spool has nothing that waits and no age")
    func emptySurvey() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        let survey = try fixture.spool.survey()
        #expect(survey.messages == 0 && survey.oldest == nil && survey.receivers.map(\.tally.waiting) == [0])
    }

    @Test("a spool in use is refused, and let go of when the tool ends")
    func inUse() throws {
        let fixture = try SpoolFixture()
        #expect(throws: SpoolToolError.spool(.locked(path: fixture.folder, by: getpid()))) {
            try SpoolFile(fixture.folder)
        }
        fixture.spool.close()
        var tool: SpoolFile? = try SpoolFile(fixture.folder)
        #expect(throws: SpoolError.locked(path: fixture.folder, by: getpid())) { try fixture.reopen() }
        #expect(try tool?.check().damage == [])
        tool = nil
        try fixture.reopen()
    }

    @Test(
        "a changed column of any kind is found, of a message and of a retained message",
        arguments: [
            "UPDATE message SET topic = 'other'", "UPDATE message SET qos = 0", "UPDATE message SET expiry = 5",
            "UPDATE message SET receivers = x'ff'", "UPDATE message SET position = 90, checksum = checksum",
            "UPDATE retained SET payload = x'00'", "UPDATE node SET next_position = 1", "DELETE FROM node",
            "UPDATE receiver SET exceptions = x'ff'", "UPDATE will SET delay = 9",
        ])
    func damage(_ change: String) throws {
        let fixture = try SpoolFixture()
        let will = WillRecord(clientID: "client", message: .sample(), delay: 0)
        try fixture.commit(.session(alice), .message(to: alice), .retain(.sample()), .will(will))
        fixture.spool.close()
        #expect(try SpoolFile(fixture.folder).check().damage == [])
        _ = try fixture.sql(change)
        #expect(try SpoolFile(fixture.folder).check().damage.isEmpty == false)
    }

    @Test("messages are shown in order, for one receiver if wanted, and without payload unless wanted")
    func eachMessage() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice, "alice"), .session(bob, "bob"))
        try fixture.commit(.message("one", to: alice, bob), .message("two", to: bob), .message("three", to: alice))
        try fixture.commit(.acknowledged(bob, Position(1)))
        fixture.spool.close()
        func shown(_ receiver: String?, limit: Int = .max, payload: Bool = false) throws -> [DumpedMessage] {
            var lines: [DumpedMessage] = []
            let damaged = try SpoolFile(fixture.folder)
                .eachMessage(for: receiver, limit: limit, includingPayload: payload) { lines.append($0) }
            #expect(damaged == 0)
            return lines
        }
        #expect(try shown(nil).map { $0.receivers.map(\.name) } == [["alice"], ["bob"], ["alice"]])
        #expect(try shown("alice").map(\.position) == [1, 3])
        #expect(try shown("bob", payload: true).map { String(decoding: $0.payload, as: UTF8.self) } == ["two"])
        #expect(try shown(nil, limit: 2).map(\.payload) == [[], []])
        #expect(try shown("nobody").isEmpty)
    }
}

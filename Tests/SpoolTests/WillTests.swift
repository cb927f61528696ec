import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("Wills on disk")
struct WillTests {
    @Test("a will comes back as it went in, the latest of each client")
    func roundTrip() throws {
        let fixture = try SpoolFixture()
        var properties = Properties()
        properties.contentType = "text/plain"
        let will = WillRecord(
            clientID: "büro",
            message: .sample("gone", topic: "status/büro", qos: .exactlyOnce, properties: properties),
            delay: 4_000_000_000
        )
        try fixture.commit(.will(WillRecord(clientID: "büro", message: .sample("old"), delay: 1)))
        try fixture.commit(.will(will), .will(WillRecord(clientID: "", message: .sample("other"), delay: 0)))
        try fixture.reopen()
        #expect(fixture.contents.wills.map(\.clientID) == ["", "büro"])
        let found = try #require(fixture.contents.wills.last)
        #expect(found.delay == will.delay)
        #expect(found.message.topic == will.message.topic && found.message.payload == will.message.payload)
        #expect(found.message.qos == .exactlyOnce && found.message.properties == properties)
        #expect(found.message.id == will.message.id)
    }

    @Test("a will that was published or deleted is gone, and one that never came to disk needs no row")
    func gone() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.will(WillRecord(clientID: "a", message: .sample(), delay: 1)))
        try fixture.commit(.willGone(clientID: "a"), .willGone(clientID: "never"))
        try fixture.commit(.will(WillRecord(clientID: "b", message: .sample(), delay: 1)), .willGone(clientID: "b"))
        try fixture.reopen()
        #expect(fixture.contents.wills.isEmpty)
        #expect(fixture.contents.bootCount == 2)
    }

    @Test(
        "a damaged will is skipped and counted",
        arguments: ["delay = 9", "payload = 'x'", "client_id = 'z'", "checksum = 0"])
    func damaged(change: String) throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.will(WillRecord(clientID: "a", message: .sample(), delay: 1)))
        fixture.spool.close()
        _ = try fixture.sql("UPDATE will SET \(change)")
        try fixture.reopen()
        #expect(fixture.contents.wills.isEmpty)
        #expect(fixture.spool.statistics.damagedRows == 1)
    }

    @Test("a file of schema 1 opens with all it holds, and holds wills from then on")
    func migration() throws {
        let fixture = try SpoolFixture()
        let filter = SubscriptionRecord(filter: "a/+", options: SubscriptionOptions(), identifier: 4)
        try fixture.commit(.session(alice), .subscribe(alice, filter), .message("kept", to: alice), .retain(.sample()))
        fixture.spool.close()
        _ = try fixture.sql(
            """
            DROP TABLE carried; DROP TABLE stream; DROP TABLE will; DROP TABLE aside; ALTER TABLE outbound DROP COLUMN source; PRAGMA user_version = 1
            """
        )
        try fixture.reopen()
        #expect(try fixture.sql("PRAGMA user_version") == "5")
        #expect(fixture.contents.receivers.map(\.subscriptions) == [[filter]])
        #expect(fixture.contents.retained.count == 1)
        #expect(try fixture.page(alice).entries.map { String(buffer: $0.message.payload) } == ["kept"])
        try fixture.commit(.will(WillRecord(clientID: "a", message: .sample(), delay: 1)))
        try fixture.reopen()
        #expect(fixture.contents.wills.count == 1)
    }
}

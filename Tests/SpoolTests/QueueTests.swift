import BrokerCore
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("Queues of durable receivers")
struct QueueTests {
    @Test("a message comes back as it went in, with how it goes to this receiver")
    func roundTrip() throws {
        let fixture = try SpoolFixture()
        var properties = Properties()
        properties.payloadFormatIndicator = 1
        properties.contentType = "text/plain"
        properties.responseTopic = "antwort/ä"
        properties.correlationData = ByteBuffer(bytes: [0, 1, 255])
        properties.userProperties = [.init("a", "1"), .init("a", "2"), .init("", "")]
        let message = Message(
            id: MessageID(high: .max, low: 1),
            topic: "room/é",
            payload: ByteBuffer(bytes: (0..<300).map { UInt8(truncatingIfNeeded: $0) }),
            qos: .exactlyOnce,
            isRetained: true,
            properties: properties,
            expiry: Timestamp(microseconds: 99)
        )
        let deliveries = [
            Delivery(receiver: alice, qos: .atLeastOnce),
            Delivery(receiver: bob, qos: .exactlyOnce, isRetained: true, subscriptionIdentifiers: [1, 268_435_455]),
        ]
        try fixture.commit(.session(alice), .session(bob), .message(message, deliveries: deliveries))
        try fixture.commit(.message(.sample("", topic: ""), deliveries: deliveries))
        for _ in 0..<2 {
            for delivery in deliveries {
                let entries = try fixture.page(delivery.receiver).entries
                let entry = try #require(entries.first)
                #expect(entry.delivery == delivery)
                #expect(entry.message.id == message.id)
                #expect(entry.message.topic == message.topic)
                #expect(entry.message.payload == message.payload)
                #expect(entry.message.qos == message.qos)
                #expect(entry.message.isRetained)
                #expect(entry.message.properties == message.properties)
                #expect(entry.message.expiry == message.expiry)
                let empty = try #require(entries.last)
                #expect(empty.message.payload.readableBytes == 0 && empty.message.topic.isEmpty)
                #expect(empty.message.expiry == nil && empty.message.properties.isEmpty)
            }
            try fixture.reopen()
        }
    }

    @Test("pages follow each other by position and say where they end")
    func paging() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .session(bob))
        for number in 0..<10 { try fixture.commit(.message("\(number)", to: number % 2 == 0 ? alice : bob)) }

        let first = try fixture.page(alice, messagesMax: 2)
        #expect(first.entries.map(\.position.number) == [1, 3])
        #expect(first.end == Position(3))
        let second = try fixture.page(alice, after: first.end, messagesMax: 3)
        #expect(second.entries.map(\.position.number) == [5, 7, 9])
        #expect(second.end == Position(10), "read to its end: nothing waits up to the last commit")
        #expect(try fixture.page(alice, after: second.end).entries.isEmpty)
        #expect(try fixture.page(alice, after: Position(.max)).entries.isEmpty)
        #expect(try fixture.page(ReceiverID(99)).end == Position(10))
    }

    @Test("a page ends with the message that reaches its bytes, and always makes progress")
    func pageBytes() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        for _ in 0..<5 { try fixture.commit(.message("12345", to: alice)) }
        let page = try fixture.page(alice, bytesMax: 8)
        #expect(page.entries.map(\.position.number) == [1, 2])
        #expect(page.end == Position(2))
        #expect(try fixture.page(alice, messagesMax: 0, bytesMax: 0).entries.map(\.position.number) == [1])
        let last = try fixture.page(alice, after: Position(3), bytesMax: 10)
        #expect(last.end == Position(5) && last.entries.count == 2)
    }

    @Test("a page is answered after the commit of what was appended with it")
    func loadAfterCommit() throws {
        let fixture = try SpoolFixture()
        fixture.append(.session(alice))
        let request = LoadRequest(receiver: alice, after: .zero, messagesMax: 10, bytesMax: 1000, epoch: 5)
        fixture.append(.message(to: alice), .message(to: alice), loads: [request])
        try fixture.tidings.wait("the page") { $0.pages.count == 1 }
        #expect(fixture.tidings.now.committed == Ticket(2))
        #expect(fixture.tidings.pages.first?.entries.count == 2)
        #expect(fixture.tidings.pages.first?.epoch == 5, "the page says which request it answers")
    }

    @Test("the row of a message goes with its last reader; until then each is done with it on its own")
    func acknowledgements() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .session(bob))
        for _ in 0..<6 { try fixture.commit(.message(to: alice, bob)) }
        try fixture.commit(.acknowledged(alice, Position(2)), .acknowledged(alice, Position(5)))
        try fixture.commit(.acknowledged(alice, Position(2)), .acknowledged(alice, Position(77)))
        #expect(try fixture.positions(alice).map(\.number) == [1, 3, 4, 6])
        #expect(try fixture.sql("SELECT count(*) FROM message") == "6")
        try fixture.reopen()
        #expect(try fixture.positions(alice).map(\.number) == [1, 3, 4, 6])
        #expect(fixture.contents.receivers.map(\.depth) == [4, 6])
        try fixture.commit(.acknowledged(alice, Position(1)), .acknowledged(bob, Position(2)))
        #expect(try fixture.sql("SELECT group_concat(position) FROM message") == "1,3,4,5,6")
        #expect(try fixture.sql("SELECT low_water, hex(exceptions) FROM receiver WHERE number = 1") == "2|03")
        try fixture.commit((1...6).map { .acknowledged(bob, Position($0)) })
        try fixture.commit((1...6).map { .acknowledged(alice, Position($0)) })
        #expect(try fixture.sql("SELECT count(*) FROM message") == "0")
        #expect(fixture.spool.depth(of: alice) == 0 && fixture.spool.depth(of: bob) == 0)
        #expect(try fixture.commit(.message(to: alice)) == Position(7), "a position is never reused")
    }

    @Test("a session beyond its maximum drops the oldest and says so; a link keeps everything")
    func dropOldest() throws {
        let fixture = try SpoolFixture(queueMessagesMax: 3)
        try fixture.commit(.session(alice), .link(bob))
        try fixture.commit((1...5).map { .message("\($0)", to: alice, bob) })
        #expect(try fixture.positions(alice).map(\.number) == [3, 4, 5])
        #expect(try fixture.positions(bob).map(\.number) == [1, 2, 3, 4, 5])
        #expect(fixture.tidings.now.dropped == [alice: 2])
        #expect(fixture.spool.tally.dropped.total == 2)
        try fixture.commit(.outboundPublish(alice, packetID: 9, Position(3)))
        try fixture.commit(.message(to: alice))
        #expect(try fixture.positions(alice).map(\.number) == [3, 5, 6], "3 was sent as QoS 2 and must be finished")
        try fixture.reopen()
        try fixture.commit(.message(to: alice))
        #expect(try fixture.positions(alice).map(\.number) == [3, 6, 7])
        #expect(try fixture.positions(bob).map(\.number) == [1, 2, 3, 4, 5])
    }

    @Test("with its receiver goes everything that is kept for it")
    func receiverGone() throws {
        let fixture = try SpoolFixture()
        let filter = SubscriptionRecord(filter: "a/+", options: SubscriptionOptions(), identifier: 4)
        try fixture.commit(.session(alice), .session(bob), .subscribe(alice, filter), .subscribe(bob, filter))
        try fixture.commit(.message(to: alice), .message(to: alice, bob))
        try fixture.commit(.inboundPublish(alice, packetID: 1), .outboundPublish(alice, packetID: 1, Position(1)))
        try fixture.commit(.message(to: alice), .receiverGone(alice), .message(to: alice, bob))
        #expect(fixture.spool.depth(of: alice) == 0)
        for table in ["inbound", "outbound"] { #expect(try fixture.sql("SELECT count(*) FROM \(table)") == "0") }
        #expect(try fixture.sql("SELECT group_concat(position) FROM message") == "2,4")
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.record.receiver) == [bob])
        #expect(fixture.contents.receivers.first?.subscriptions == [filter])
        #expect(fixture.contents.nextReceiver == ReceiverID(3))
        #expect(try fixture.positions(bob).map(\.number) == [2, 4])
    }

    @Test("a message keeps who published it, where a link wants to know")
    func publisher() throws {
        let fixture = try SpoolFixture()
        var properties = Properties()
        properties.contentType = "text/plain"
        let sample = Message.sample(properties: properties)
        let named = Message(
            id: sample.id,
            topic: sample.topic,
            payload: sample.payload,
            qos: sample.qos,
            isRetained: false,
            properties: properties,
            expiry: nil,
            publisher: "c-é"
        )
        try fixture.commit(.session(alice))
        for message in [named, sample] {
            try fixture.commit(.message(message, deliveries: [Delivery(receiver: alice, qos: .atLeastOnce)]))
        }
        try fixture.reopen()
        let messages = try fixture.page(alice).entries.map(\.message)
        #expect(messages.map(\.publisher) == ["c-é", nil])
        #expect(messages.map(\.properties) == [properties, properties])
    }
}

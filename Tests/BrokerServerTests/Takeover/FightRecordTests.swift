import MQTTCodec
import Testing

/// Whoever watches a fight must see a foul.
@Suite("What is seen of a fight")
struct FightRecordTests {
    private typealias Message = FightRecord.Message
    private typealias Reign = FightRecord.Reign

    private static let resumed = ConnAck(reason: .success, isSessionPresent: true)

    /// A record of two connections, one after the other.
    private func record(claims: (Int, Int), accepted: (Int, Int)) -> (FightRecord, Reign, Reign) {
        var record = FightRecord(name: "c")
        var first = Reign(claimedAt: claims.0)
        var second = Reign(claimedAt: claims.1)
        record.accepted(&first, at: accepted.0, Self.resumed)
        record.accepted(&second, at: accepted.1, Self.resumed)
        return (record, first, second)
    }

    @Test("a message that was published after the successor was accepted belongs to the successor")
    func throne() {
        var (record, first, second) = record(claims: (1, 3), accepted: (2, 4))
        record.heard(Message(qos: .atMostOnce, number: 1, publishedAt: 5), isDuplicate: false, by: &second)
        #expect(record.complaints.isEmpty)
        record.heard(Message(qos: .atMostOnce, number: 2, publishedAt: 6), isDuplicate: false, by: &first)
        #expect(record.complaints.count == 1)
    }

    @Test("who was first is not known of claims that were made at the same time, or of a message from before")
    func doubt() {
        var (record, first, _) = record(claims: (1, 2), accepted: (3, 4))
        record.heard(Message(qos: .atMostOnce, number: 1, publishedAt: 5), isDuplicate: false, by: &first)
        #expect(record.complaints.isEmpty)
        var (other, late, _) = self.record(claims: (1, 3), accepted: (2, 5))
        other.heard(Message(qos: .atMostOnce, number: 1, publishedAt: 4), isDuplicate: false, by: &late)
        #expect(other.complaints.isEmpty)
    }

    @Test("QoS 0 comes once, QoS 1 and 2 once without DUP", arguments: [QoS.atMostOnce, .atLeastOnce, .exactlyOnce])
    func twice(_ qos: QoS) {
        var (record, first, second) = record(claims: (1, 3), accepted: (2, 4))
        let message = Message(qos: qos, number: 1, publishedAt: 2)
        record.heard(message, isDuplicate: false, by: &first)
        var (again, other) = (record, second)
        record.heard(message, isDuplicate: false, by: &second)
        #expect(record.complaints.count == 1)
        again.heard(message, isDuplicate: true, by: &other)
        #expect(again.complaints.isEmpty == (qos != .atMostOnce))
    }

    @Test("on one connection numbers grow")
    func order() {
        var (record, first, _) = record(claims: (1, 3), accepted: (2, 4))
        record.heard(Message(qos: .atLeastOnce, number: 2, publishedAt: 1), isDuplicate: false, by: &first)
        record.heard(Message(qos: .exactlyOnce, number: 1, publishedAt: 1), isDuplicate: false, by: &first)
        #expect(record.complaints.isEmpty)
        record.heard(Message(qos: .atLeastOnce, number: 1, publishedAt: 1), isDuplicate: false, by: &first)
        #expect(record.complaints.count == 1)
    }

    @Test("a session that is gone, and what was promised and has not come, are missed")
    func losses() {
        var record = FightRecord(name: "c")
        var reign = Reign(claimedAt: 1)
        record.accepted(&reign, at: 2, ConnAck(reason: .success))
        #expect(record.complaints.count == 1)
        let message = Message(qos: .exactlyOnce, number: 7, publishedAt: 3)
        record.promised(message)
        #expect(record.missing == [.exactlyOnce: [7]])
        record.heard(message, isDuplicate: false, by: &reign)
        #expect(record.missing.isEmpty)
    }
}

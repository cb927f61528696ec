import BrokerBench
import Testing

@Suite("Schedule of sending")
struct SendScheduleTests {
    private let schedule = SendSchedule(start: 1000, rate: 1_000_000, publishers: 4)

    @Test("messages are due at equal distances, publishers in turn")
    func distances() {
        #expect((0..<3).map { schedule.due(publisher: $0, sequence: 0) } == [1000, 2000, 3000])
        #expect(schedule.due(publisher: 1, sequence: 2) == 10_000)
    }

    @Test("what is due is what the schedule says, to the nanosecond, whoever was late")
    func due() {
        #expect(schedule.count(publisher: 0, now: 999) == 0)
        #expect(schedule.count(publisher: 0, now: 1000) == 1)
        #expect(schedule.count(publisher: 3, now: 3999) == 0)
        #expect(schedule.count(publisher: 3, now: 4000) == 1)
        #expect(schedule.count(publisher: 2, now: 7000) == 2)
        // A stall of a second does not take the messages back that were due meanwhile.
        #expect((0..<4).reduce(0) { $0 + schedule.count(publisher: $1, now: 1000 + 999_999_999) } == 1_000_000)
    }

    @Test("the next tick is due later than now, however far behind the sender is: its sockets have a turn in between")
    func ticks() {
        let schedule = SendSchedule(start: 0, rate: 1000, publishers: 4)
        #expect(schedule.tick(5, now: 1_000_000) == 5_000_000)
        for now: UInt64 in [4_999_999, 5_000_000, 6_000_000, 9_000_000_000] {
            #expect(schedule.tick(5, now: now) == now + 50_000)
        }
    }

    @Test("each message that is counted has been due, and the next one has not")
    func agree() {
        let schedule = SendSchedule(start: 5, rate: 333, publishers: 7)
        for now in stride(from: UInt64(5), to: 3_000_000_000, by: 77_777_777) {
            for publisher in 0..<7 {
                let count = schedule.count(publisher: publisher, now: now)
                // A nanosecond of rounding either way.
                if count > 0 { #expect(schedule.due(publisher: publisher, sequence: count - 1) <= now + 1) }
                #expect(schedule.due(publisher: publisher, sequence: count) + 1 >= now)
            }
        }
    }
}

import BrokerCore
import MQTTCodec
import TestSupport
import Testing

@Suite("Messages that were here lately")
struct RecentMessagesTests {
    @Test("what joined since the turn before last is known, in whatever order it comes, and nothing else")
    func generations() {
        var random = RandomSource(seed: 3)
        for _ in 0..<50 {
            var messages = RecentMessages()
            var (young, old) = (Set<[UInt64]>(), Set<[UInt64]>())
            let spread = UInt64.random(in: 0...300, using: &random)
            for step in 0..<UInt64(1_500) {
                if Int.random(in: 0..<400, using: &random) == 0 {
                    messages.turn()
                    (young, old) = ([], young)
                }
                let id = MessageID(
                    high: step + UInt64.random(in: 0...spread, using: &random),
                    low: UInt64.random(in: 0...1, using: &random))
                let topic: MQTTString = Bool.random(using: &random) ? "a" : "b"
                let key = [id.high, id.low, topic == "a" ? 1 : 2]
                let isKnown = messages.contains(id, as: topic)
                #expect(isKnown == (young.contains(key) || old.contains(key)))
                guard !isKnown, Int.random(in: 0..<4, using: &random) > 0 else { continue }
                messages.insert(id, as: topic)
                young.insert(key)
                #expect(messages.youngCount == young.count)
            }
        }
    }
}

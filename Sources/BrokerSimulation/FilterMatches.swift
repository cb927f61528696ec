import MQTTCodec

/// `TopicFilter.matches`, asked once for each filter and topic of a run: the slow, obvious answer is wanted some hundred
/// thousand times for the same few pairs.
final class FilterMatches {
    private struct Pair: Hashable {
        let filter: MQTTString
        let topic: MQTTString
    }

    private var known: [Pair: Bool] = [:]

    func matches(_ filter: TopicFilter, _ topic: MQTTString) -> Bool {
        let pair = Pair(filter: filter.text, topic: topic)
        if let known = known[pair] { return known }
        let answer = filter.matches(topic)
        known[pair] = answer
        return answer
    }
}

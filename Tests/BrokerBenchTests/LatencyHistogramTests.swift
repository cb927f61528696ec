import BrokerBench
import Testing

@Suite("Latency histogram")
struct LatencyHistogramTests {
    private func histogram(_ values: some Sequence<UInt64>) -> LatencyHistogram {
        values.reduce(into: LatencyHistogram()) { $0.record(nanoseconds: $1) }
    }

    @Test("an empty one answers 0")
    func empty() {
        let histogram = LatencyHistogram()
        #expect(histogram.percentile(0.99) == 0)
        #expect(histogram.mean == 0)
        #expect(histogram.max == 0)
    }

    @Test("a single value is every percentile")
    func single() {
        for value: UInt64 in [0, 1, 127, 128, 1_000_003, .max] {
            let histogram = histogram([value])
            #expect([0, 0.5, 0.999, 1].map(histogram.percentile) == [value, value, value, value])
        }
    }

    @Test("values below 128 ns are exact")
    func exact() {
        let histogram = histogram(1...100)
        #expect(histogram.percentile(0.5) == 50)
        #expect(histogram.percentile(0.99) == 99)
        #expect(histogram.percentile(1) == 100)
        #expect(histogram.mean == 50.5)
    }

    @Test("no percentile is wrong by more than 0.8 %, over twelve orders of magnitude")
    func precise() {
        for scale in sequence(first: UInt64(1), next: { $0 < 1_000_000_000_000 ? $0 * 10 : nil }) {
            let values = (1...1000).map { UInt64($0) * scale }
            let histogram = histogram(values)
            for (share, expected) in [
                (0.5, values[499]), (0.9, values[899]), (0.99, values[989]), (0.999, values[998]),
            ] {
                let found = Double(histogram.percentile(share))
                #expect(abs(found / Double(expected) - 1) < 0.008, "p\(share) of \(scale): \(found), not \(expected)")
            }
        }
    }

    @Test("two merged are as if one had recorded everything")
    func merged() {
        var both = histogram(stride(from: 5, to: 90_000, by: 7))
        both.merge(histogram([3, 1_000_000_000]))
        #expect(both == histogram(Array(stride(from: 5, to: 90_000, by: 7)) + [3, 1_000_000_000]))
        #expect(both.max == 1_000_000_000)
    }
}

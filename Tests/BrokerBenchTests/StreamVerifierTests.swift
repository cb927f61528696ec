import BrokerBench
import Testing

@Suite("Verifier of streams")
struct StreamVerifierTests {
    private func verdicts(_ sequence: [UInt64]) -> (verdicts: [StreamVerifier.Verdict], verifier: StreamVerifier) {
        var verifier = StreamVerifier(streams: 1)
        return (sequence.map { verifier.received($0, of: 0) }, verifier)
    }

    @Test("a stream in order has no fault")
    func inOrder() {
        let (verdicts, verifier) = verdicts(Array(0..<1000))
        #expect(verdicts.allSatisfy { $0 == .inOrder })
        #expect(verifier.lost(of: 0, sent: 1000) == 0)
    }

    @Test("a message that never comes is lost, whether others follow or not")
    func loss() {
        let (verdicts, verifier) = verdicts([0, 1, 4, 5])
        #expect(verdicts == [.inOrder, .inOrder, .ahead(skipped: 2), .inOrder])
        #expect(verifier.lost(of: 0) == 2)
        #expect(verifier.lost(of: 0, sent: 6) == 2)
        #expect(verifier.lost(of: 0, sent: 9) == 5)
    }

    @Test("nothing at all is a loss of everything")
    func silence() {
        #expect(StreamVerifier(streams: 3).lost(of: 2, sent: 7) == 7)
    }

    @Test("a message that comes twice is a duplicate: the last one, an old one, one that was late")
    func duplicates() {
        let (verdicts, verifier) = verdicts([0, 0, 1, 2, 1, 4, 3, 3])
        #expect(
            verdicts == [
                .inOrder, .duplicate, .inOrder, .inOrder, .duplicate, .ahead(skipped: 1), .late, .duplicate,
            ])
        #expect(verifier.lost(of: 0, sent: 5) == 0)
    }

    @Test("a message behind a later one is late and not lost, wherever in the gap it belongs")
    func disorder() {
        let (verdicts, verifier) = verdicts([9, 4, 0, 8, 2, 3])
        #expect(verdicts == [.ahead(skipped: 9), .late, .late, .late, .late, .late])
        #expect(verifier.lost(of: 0, sent: 10) == 4)
        #expect(verifier.missing == 4)
    }

    @Test("two that change places are one fault and no loss")
    func swap() {
        let (verdicts, verifier) = verdicts([0, 2, 1, 3])
        #expect(verdicts == [.inOrder, .ahead(skipped: 1), .late, .inOrder])
        #expect(verifier.missing == 0)
    }

    @Test("streams do not mix")
    func streams() {
        var verifier = StreamVerifier(streams: 2)
        #expect(verifier.received(0, of: 0) == .inOrder)
        #expect(verifier.received(1, of: 1) == .ahead(skipped: 1))
        #expect(verifier.received(1, of: 0) == .inOrder)
        let added = verifier.add(first: 70)
        #expect(verifier.received(70, of: added) == .inOrder)
        #expect((0..<3).map { verifier.lost(of: $0) } == [0, 1, 0])
    }

    @Test("no number is too large, and no sum of losses")
    func largest() {
        var verifier = StreamVerifier(streams: 2)
        for stream in 0..<2 {
            #expect(verifier.received(.max - 1, of: stream) == .ahead(skipped: .max - 1))
            _ = verifier.received(.max, of: stream)
            _ = verifier.received(.max, of: stream)
            #expect(verifier.received(.max - 2, of: stream) == .late)
        }
        #expect(verifier.missing == .max)
        let added = verifier.add(first: .max)
        #expect(verifier.received(.max, of: added) == .inOrder)
        #expect(verifier.lost(of: added) == 0)
    }

    @Test("gaps are bounded, and loss is counted beyond the bound")
    func bounded() {
        var verifier = StreamVerifier(streams: 1)
        let count = UInt64(StreamVerifier.gapsMax) * 2
        for number in 0..<count { _ = verifier.received(number * 2 + 1, of: 0) }
        #expect(verifier.lost(of: 0) == count)
        // The latest gap is known, the first was forgotten.
        #expect(verifier.received(count * 2 - 2, of: 0) == .late)
        #expect(verifier.received(0, of: 0) == .duplicate)
    }

    @Test("every shuffle of a stream is found complete, and every hole in it is counted")
    func shuffled() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let kept = (0..<200).filter { _ in Int.random(in: 0..<10, using: &generator) > 0 }.map(UInt64.init)
            let (verdicts, verifier) = verdicts(kept.shuffled(using: &generator))
            #expect(!verdicts.contains(.duplicate))
            #expect(verifier.lost(of: 0, sent: 200) == UInt64(200 - kept.count))
        }
    }
}

import Spool
import Testing

@Suite("Packed numbers")
struct PackedNumbersTests {
    @Test("what is packed comes out as it was, extremes included")
    func comesOut() {
        let numbers: [UInt64] = [0, 0, 1, 2, 3, 3, 1 << 62, 5, .max, .max - 1, .max, 0, 1 << 63, 1 << 63, 7]
        for count in 0...numbers.count {
            let some = Array(numbers.prefix(count))
            #expect(PackedNumbers(some).numbers(count) == some)
        }
    }

    @Test("steps of one length take a few bytes together, others a few bytes each")
    func isSmall() {
        #expect(PackedNumbers((1 << 40)..<(1 << 40 + 1_024)).size < 16)
        #expect(PackedNumbers(repeatElement(120, count: 1_024)).size < 16)
        #expect(PackedNumbers((0..<1_024).map { 100 + $0 % 7 * 3 }).size <= 2 * 1_024)
    }
}

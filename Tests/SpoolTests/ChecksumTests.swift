import Spool
import Testing

@Suite("Checksum")
struct ChecksumTests {
    @Test(
        "XXH64 agrees with its published values",
        arguments: [
            ("", 0xEF46_DB37_51D8_E999 as UInt64),
            ("a", 0xD24E_C4F1_A98C_6E5B),
            ("abc", 0x44BC_2CF5_AD77_0999),
        ])
    func vectors(text: String, wanted: UInt64) {
        #expect(Array(text.utf8).withUnsafeBytes { XXHash64.hash($0) } == wanted)
    }

    @Test("a change of any one bit changes the checksum, at every length and tail")
    func everyBit() {
        for count in [1, 3, 4, 7, 8, 12, 31, 32, 33, 63, 64, 71] {
            var bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            var seen: Set<UInt64> = [bytes.withUnsafeBytes { XXHash64.hash($0) }]
            for bit in 0..<count * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8)
                seen.insert(bytes.withUnsafeBytes { XXHash64.hash($0) })
                bytes[bit / 8] ^= 1 << (bit % 8)
            }
            #expect(seen.count == count * 8 + 1)
        }
    }
}

/// The readable log of a run, and a digest of it: two runs of one seed have the same digest or something behaves
/// differently from run to run.
package struct Trace: Sendable {
    /// FNV-1a over the time and text of all lines.
    package private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    /// Empty unless somebody wants to read them.
    package private(set) var lines: [String] = []
    private let keepsLines: Bool

    init(keepsLines: Bool) { self.keepsLines = keepsLines }

    mutating func note(at nanoseconds: UInt64, _ text: String) {
        let micros = nanoseconds / 1_000
        var digest = (digest ^ micros) &* 0x100_0000_01B3
        var text = text
        text.withUTF8 { for byte in $0 { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01B3 } }
        self.digest = digest
        if keepsLines { lines.append("\(micros) \(text)") }
    }
}

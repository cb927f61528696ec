/// The readable log of a run, and a digest of it: two runs of one seed have the same digest or something behaves
/// differently from run to run.
package struct Trace: Sendable {
    /// FNV-1a over all lines.
    package private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    package private(set) var lines: [String] = []

    mutating func note(at nanoseconds: UInt64, _ text: String) {
        let line = "\(nanoseconds / 1000) \(text)"
        for byte in line.utf8 { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01B3 }
        lines.append(line)
    }
}

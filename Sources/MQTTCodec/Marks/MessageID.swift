/// The name of a message: 128 bits, ordered by time, unique across nodes. It identifies and never orders.
///
/// 64 bits of microseconds since 1970, 48 bits of node number, 4 bits of the run of the node, 12 bits of sequence.
package struct MessageID: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The node that made it, 48 bits.
    package var node: UInt64 { low >> 16 }

    /// By the clocks of the nodes that made them; the node decides where these say the same.
    package static func < (a: MessageID, b: MessageID) -> Bool { a.high == b.high ? a.low < b.low : a.high < b.high }

    /// 32 lower-case hexadecimal digits.
    package var description: String { Self.hex(high) + Self.hex(low) }

    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}

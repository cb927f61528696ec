import NIOCore

/// Numbers as what differs from each to the next, and how often it does so in a row: positions without gaps, or messages
/// of one size, take a few bytes together; what differs every time takes two bytes or three for each.
package struct PackedNumbers: Sendable {
    private var bytes = ByteBuffer()

    package init(_ numbers: some Sequence<UInt64>) {
        var (last, difference, times): (UInt64, UInt64, UInt64) = (0, 0, 0)
        for number in numbers {
            if number &- last != difference {
                write(difference, times)
                difference = number &- last
                times = 0
            }
            times += 1
            last = number
        }
        write(difference, times)
    }

    /// Bytes in memory.
    package var size: Int { bytes.readableBytes }

    /// - Parameter count: how many there were.
    package func numbers(_ count: Int) -> [UInt64] {
        var bytes = bytes
        return Array(unsafeUninitializedCapacity: count) { numbers, filled in
            var last: UInt64 = 0
            while filled < count, let written = bytes.readVariable(), let times = bytes.readVariable() {
                let difference = (written >> 1) ^ (0 &- (written & 1))
                for _ in 0..<times where filled < count {
                    last &+= difference
                    numbers.initializeElement(at: filled, to: last)
                    filled += 1
                }
            }
        }
    }

    private mutating func write(_ difference: UInt64, _ times: UInt64) {
        guard times > 0 else { return }
        // A small one of either sign becomes a small number.
        let signed = Int64(bitPattern: difference)
        bytes.writeVariable(UInt64(bitPattern: (signed << 1) ^ (signed >> 63)))
        bytes.writeVariable(times)
    }
}

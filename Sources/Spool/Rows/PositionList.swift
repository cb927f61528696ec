import NIOCore

/// The blob of positions that a receiver is done with above its low-water mark: ascending, each as the distance from
/// the one before, so one byte for neighbours.
enum PositionList {
    static func write(_ positions: [UInt64], above start: UInt64) -> ByteBuffer {
        var buffer = ByteBuffer()
        var last = start
        for position in positions {
            buffer.writeVariable(position - last)
            last = position
        }
        return buffer
    }

    /// Nil when the bytes are no such list.
    static func read(_ bytes: ByteBuffer, above start: UInt64) -> [UInt64]? {
        var bytes = bytes
        var positions: [UInt64] = []
        var last = start
        while bytes.readableBytes > 0 {
            guard let distance = bytes.readVariable() else { return nil }
            let (next, overflow) = last.addingReportingOverflow(distance)
            guard !overflow else { return nil }
            positions.append(next)
            last = next
        }
        return positions
    }
}

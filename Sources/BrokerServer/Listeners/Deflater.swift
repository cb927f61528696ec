import CZlib
package import NIOCore

/// Packs messages, each for itself (RFC 7692 §7.2.1): one serves all connections of a loop that have the same window.
package final class Deflater {
    /// Below this a header and a tree cost more than is saved.
    static let bytesMin = 64

    private let stream: UnsafeMutablePointer<z_stream>

    /// - Returns: nil when there is no memory for it.
    package init?(windowBits: Int) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let status = deflateInit2_(
            stream,
            Z_BEST_SPEED,
            Z_DEFLATED,
            -Int32(windowBits),
            8,
            Z_DEFAULT_STRATEGY,
            zlibVersion(),
            Int32(MemoryLayout<z_stream>.size)
        )
        guard status == Z_OK else {
            stream.deallocate()
            return nil
        }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// - Returns: nil when it would not be shorter.
    package func deflate(_ payload: ByteBuffer) -> ByteBuffer? {
        let count = payload.readableBytes
        guard count >= Self.bytesMin else { return nil }
        deflateReset(stream)
        var packed = ByteBuffer()
        // What does not fit into less than it was is not wanted.
        let room = count + Inflater.tail.count - 1
        var isWhole = false
        payload.withUnsafeReadableBytes { source in
            // zlib does not write to its input.
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: source.baseAddress?.assumingMemoryBound(to: UInt8.self)
            )
            stream.pointee.avail_in = UInt32(clamping: count)
            packed.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
                stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                stream.pointee.avail_out = UInt32(clamping: room)
                let status = CZlib.deflate(stream, Z_SYNC_FLUSH)
                // Room that is left says that all of it is out.
                isWhole = status == Z_OK && stream.pointee.avail_in == 0 && stream.pointee.avail_out > 0
                return room - Int(stream.pointee.avail_out)
            }
        }
        stream.pointee.next_in = nil
        guard isWhole, packed.readableBytes > Inflater.tail.count else { return nil }
        packed.moveWriterIndex(to: packed.writerIndex - Inflater.tail.count)
        return packed
    }
}

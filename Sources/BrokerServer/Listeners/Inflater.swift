import CZlib
import NIOCore

/// Unpacks one compressed message (RFC 7692 §7.2.2), as it arrives and within a bound.
///
/// `@unchecked Sendable`: it belongs to the framing of one connection, which is touched on that connection's loop only.
final class Inflater: @unchecked Sendable {
    /// What a sender takes off the end of each message.
    static let tail: [UInt8] = [0x00, 0x00, 0xFF, 0xFF]
    private static let portion = 16 << 10

    /// zlib remembers where its own state is, so it must not move.
    private let stream: UnsafeMutablePointer<z_stream>
    /// Bytes that this message may still become.
    private var left: Int

    /// - Parameter bytesMax: what one message may become.
    /// - Returns: nil when there is no memory for it.
    init?(bytesMax: Int) {
        left = bytesMax
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // Raw deflate, with the largest window: a smaller one of the sender's fits into it.
        guard inflateInit2_(stream, -15, zlibVersion(), Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            stream.deallocate()
            return nil
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Unpacks what came and appends it.
    ///
    /// - Throws: when it is no deflate, or becomes too much; nothing beyond the bound is ever written.
    func inflate(_ input: UnsafeRawBufferPointer, into plain: inout ByteBuffer) throws(WebSocketError) {
        // zlib does not write to its input.
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(clamping: input.count)
        defer { stream.pointee.next_in = nil }
        while true {
            // One byte more than may be, to see that there is more.
            let room = min(Self.portion, left + 1)
            var status = Z_OK
            let written = plain.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
                stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                stream.pointee.avail_out = UInt32(clamping: room)
                status = CZlib.inflate(stream, Z_SYNC_FLUSH)
                return room - Int(stream.pointee.avail_out)
            }
            guard written <= left else { throw .inflatedTooLarge }
            left -= written
            switch status {
            case Z_OK:
                // With room left all input is used up.
                if stream.pointee.avail_out > 0, stream.pointee.avail_in == 0 { return }
            case Z_STREAM_END:
                // A final block ends the stream, not the message (§7.2.3.5).
                inflateReset(stream)
                if stream.pointee.avail_in == 0 { return }
            case Z_BUF_ERROR:
                return
            default:
                throw .malformedDeflate
            }
        }
    }
}

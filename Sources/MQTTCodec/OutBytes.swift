package import NIOCore

/// Packets on their way to one peer. Small payloads are copied into one buffer, so that a turn is one write; large ones
/// are shared by all who get them, so that a thousand receivers of a megabyte need no gigabyte.
package struct OutBytes: Sendable {
    /// Whole packets; or the head of one, and its payload behind it.
    package struct Part: Sendable {
        package let bytes: ByteBuffer
        /// Empty for whole packets.
        package let payload: ByteBuffer
    }

    /// What goes before `rest`; empty unless there are large payloads.
    package private(set) var parts: [Part] = []
    private var partsBytes = 0
    /// Whole packets, the last ones.
    package var rest: ByteBuffer

    /// Payloads from here on are shared: two buffers in one write cost more than copying less.
    package static let sharedBytesMin = 16_384

    package init(_ rest: ByteBuffer = ByteBuffer()) { self.rest = rest }

    package var readableBytes: Int { partsBytes + rest.readableBytes }

    /// All of it in one buffer.
    ///
    /// - Complexity: one copy when there are large payloads.
    package var joined: ByteBuffer {
        guard !parts.isEmpty else { return rest }
        var bytes = ByteBuffer()
        bytes.reserveCapacity(readableBytes)
        for part in parts {
            bytes.writeImmutableBuffer(part.bytes)
            bytes.writeImmutableBuffer(part.payload)
        }
        bytes.writeImmutableBuffer(rest)
        return bytes
    }

    /// Appends a packet whose end is shared with other peers.
    ///
    /// - Parameter head: appends what is in front of the payload.
    mutating func append(sharing payload: ByteBuffer, behind head: (inout ByteBuffer) -> Void) {
        if rest.readableBytes > 0 { append(Part(bytes: rest, payload: ByteBuffer())) }
        rest = ByteBuffer()
        head(&rest)
        append(Part(bytes: rest, payload: payload.compact))
        rest = ByteBuffer()
    }

    private mutating func append(_ part: Part) {
        parts.append(part)
        partsBytes += part.bytes.readableBytes + part.payload.readableBytes
    }
}

extension ByteBuffer {
    /// The same bytes in memory that is not much more: a slice of what was read would hold all of that until the slowest
    /// receiver has taken it.
    var compact: ByteBuffer {
        guard storageCapacity > 2 * readableBytes else { return self }
        var copy = ByteBuffer()
        copy.writeImmutableBuffer(self)
        return copy
    }
}

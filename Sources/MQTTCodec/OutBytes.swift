package import NIOCore

/// Packets on their way to one peer. Small payloads are copied into one buffer, so that a turn is one write; large ones
/// are shared by all who get them, so that a thousand receivers of a megabyte need no gigabyte.
package struct OutBytes: Sendable {
    package enum Part: Sendable {
        /// Whole ones.
        case packets(ByteBuffer)
        /// One packet: all that stands in front of its payload, and that.
        case large(head: ByteBuffer, payload: ByteBuffer)
    }

    /// What goes before `rest`; empty unless there are large payloads.
    package private(set) var parts: [Part] = []
    private var partsBytes = 0
    /// Whole packets, the last ones.
    package var rest: ByteBuffer

    /// Bytes of the smallest payload that is shared: below it two buffers in one write cost more than the copy.
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
            switch part {
            case .packets(let packets): bytes.writeImmutableBuffer(packets)
            case .large(let head, let payload):
                bytes.writeImmutableBuffer(head)
                bytes.writeImmutableBuffer(payload)
            }
        }
        bytes.writeImmutableBuffer(rest)
        return bytes
    }

    /// Appends a packet whose end is shared with other peers.
    ///
    /// - Parameter head: appends what is in front of the payload.
    mutating func append(sharing payload: ByteBuffer, behind head: (inout ByteBuffer) -> Void) {
        partsBytes += rest.readableBytes
        if rest.readableBytes > 0 { parts.append(.packets(rest)) }
        rest = ByteBuffer()
        head(&rest)
        partsBytes += rest.readableBytes + payload.readableBytes
        parts.append(.large(head: rest, payload: payload.compact))
        rest = ByteBuffer()
    }
}

extension ByteBuffer {
    /// The same bytes in a buffer that holds nothing else.
    package var owned: ByteBuffer {
        var copy = ByteBuffer()
        copy.writeImmutableBuffer(self)
        return copy
    }

    /// The same bytes in memory that is not much more: a slice of what was read would hold all of that until the slowest
    /// receiver has taken it.
    var compact: ByteBuffer { storageCapacity > 2 * readableBytes ? owned : self }
}

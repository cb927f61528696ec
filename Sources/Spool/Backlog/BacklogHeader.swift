package import BrokerCore
package import MQTTCodec
import NIOCore

/// The first 512 bytes of a file that carries messages of a link: what it is, where it is from, and who took it in.
///
///     header | part | part | ... | seal
///
/// Everything has a checksum of its own. A part is a run of messages that left their queue together; it is in the file,
/// and on the disk, before they leave it. The seal is written when the last of them has: a file without one is not taken
/// in by anybody, since what it holds may still be in the queue.
package struct BacklogHeader: Sendable, Hashable {
    /// 128 random bits.
    package var id: MessageID
    /// The number of the node that wrote it, and its name for people.
    package var node: UInt64
    package var nodeName: String
    package var link: String
    /// When it was begun.
    package var made: Timestamp
    /// Whether its messages stayed in the queue as well.
    package var isCopy: Bool

    package init(id: MessageID, node: UInt64, nodeName: String, link: String, made: Timestamp, isCopy: Bool) {
        self.id = id
        self.node = node
        self.nodeName = nodeName
        self.link = link
        self.made = made
        self.isCopy = isCopy
    }

    static let bytes = 512
    /// Where it is noted who took the file in: the one thing in it that changes when it is complete.
    static let claimOffset = 480
    private static let hashOffset = claimOffset - 8
    private static let magic = Array("DBbacklg".utf8)
    private static let version: UInt16 = 1
    private static let copyFlag: UInt16 = 1
    private static let nameBytesMax = 190

    enum Verdict {
        case header(BacklogHeader)
        case unknown
        case newer(Int)
    }

    var encoded: ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeBytes(Self.magic)
        buffer.writeInteger(Self.version)
        buffer.writeInteger(isCopy ? Self.copyFlag : 0)
        buffer.writeInteger(id.high)
        buffer.writeInteger(id.low)
        buffer.writeInteger(node)
        buffer.writeInteger(made.microseconds)
        buffer.writeText(Self.short(nodeName))
        buffer.writeText(Self.short(link))
        buffer.writeRepeatingByte(0, count: Self.hashOffset - buffer.writerIndex)
        buffer.writeInteger(buffer.withUnsafeReadableBytes { XXHash64.hash($0) })
        buffer.writeRepeatingByte(0, count: Self.bytes - buffer.writerIndex)
        return buffer
    }

    /// - Parameter bytes: the first of a file, at least as many as a header has if there are so many.
    static func read(_ bytes: ByteBuffer) -> Verdict {
        var bytes = bytes
        let begin = bytes.readerIndex
        let whole = bytes
        guard bytes.readableBytes >= Self.bytes, bytes.readBytes(length: magic.count) == magic,
            let version = bytes.readInteger(as: UInt16.self)
        else { return .unknown }
        guard version <= Self.version else { return .newer(Int(version)) }
        let hash = whole.getSlice(at: begin, length: hashOffset)?.withUnsafeReadableBytes { XXHash64.hash($0) }
        guard let hash, whole.getInteger(at: begin + hashOffset, as: UInt64.self) == hash,
            let flags = bytes.readInteger(as: UInt16.self),
            let high = bytes.readInteger(as: UInt64.self), let low = bytes.readInteger(as: UInt64.self),
            let node = bytes.readInteger(as: UInt64.self), let made = bytes.readInteger(as: UInt64.self),
            let name = bytes.readText(), let link = bytes.readText()
        else { return .unknown }
        return .header(
            BacklogHeader(
                id: MessageID(high: high, low: low),
                node: node,
                nodeName: name,
                link: link,
                made: Timestamp(microseconds: made),
                isCopy: flags & copyFlag != 0
            )
        )
    }

    private static func short(_ name: String) -> String {
        var name = name
        while name.utf8.count > nameBytesMax { name.removeLast() }
        return name
    }
}

/// The end of a complete file.
package struct BacklogSeal: Sendable, Hashable {
    package var parts: UInt64
    package var messages: UInt64
    /// Where the seal itself begins.
    var offset: UInt64

    static let bytes = 1 + 8 + 8 + 8 + 8
    static let mark = UInt8(ascii: "S")

    var encoded: ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(Self.mark)
        buffer.writeInteger(parts)
        buffer.writeInteger(messages)
        buffer.writeInteger(offset)
        buffer.writeInteger(buffer.withUnsafeReadableBytes { XXHash64.hash($0) })
        return buffer
    }

    init(parts: UInt64, messages: UInt64, offset: UInt64) {
        self.parts = parts
        self.messages = messages
        self.offset = offset
    }

    /// - Parameter bytes: as many as a seal has.
    init?(_ bytes: ByteBuffer) {
        var bytes = bytes
        guard bytes.readableBytes == Self.bytes else { return nil }
        let hash = bytes.getSlice(at: bytes.readerIndex, length: Self.bytes - 8)?
            .withUnsafeReadableBytes { XXHash64.hash($0) }
        guard bytes.readInteger(as: UInt8.self) == Self.mark, let parts = bytes.readInteger(as: UInt64.self),
            let messages = bytes.readInteger(as: UInt64.self), let offset = bytes.readInteger(as: UInt64.self),
            let hash, bytes.readInteger(as: UInt64.self) == hash
        else { return nil }
        self.init(parts: parts, messages: messages, offset: offset)
    }
}

import BrokerCore
import MQTTCodec
import NIOCore

/// The blob of message ids, 16 bytes each.
enum MessageIDList {
    static func write(_ ids: [MessageID]) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(16 * ids.count)
        for id in ids {
            bytes.writeInteger(id.high)
            bytes.writeInteger(id.low)
        }
        return bytes
    }

    /// What is too short for an id at the end is none.
    static func read(_ bytes: UnsafeRawBufferPointer) -> [MessageID] {
        stride(from: 0, through: bytes.count - 16, by: 16).map { at in
            MessageID(
                high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)),
                low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self))
            )
        }
    }
}

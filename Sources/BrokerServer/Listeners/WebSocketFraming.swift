package import NIOCore

/// WebSocket framing (RFC 6455 §5) for MQTT: bytes in, payload and replies out. A listener is its server, a link's
/// connection its client: what a client sends is masked, and what a server sends is not.
///
/// MQTT ignores the borders of frames and messages, so nothing is assembled here: payload goes on as it arrives, and
/// memory is bounded by what one read delivered. Input is always consumed whole; what an unfinished frame needs to
/// remember is a few integers, and at most 125 bytes of a control frame.
///
/// ```
///  +------> head --(length 126/127)--> length16 / length64 --+
///  |         |                                               |
///  |         +----------------------> mask <-----------------+
///  |                                   |
///  +------(frame is complete)------ payload        close frame or error: closed, everything after it is dropped
/// ```
package struct WebSocketFraming: Sendable {
    private enum Stage: Sendable {
        case head
        case length16
        case length64
        case mask
        case payload
        case closed
    }

    private enum Opcode: UInt8, Sendable {
        case continuation = 0x0
        case text = 0x1
        case binary = 0x2
        case close = 0x8
        case ping = 0x9
        case pong = 0xA

        var isControl: Bool { rawValue & 0x8 != 0 }
    }

    private static let controlPayloadMax = 125

    private let limits: WebSocketLimits
    private let isClient: Bool
    private var stage = Stage.head
    private var opcode = Opcode.binary
    private var isFinal = true
    /// True between the first frame of a fragmented message and its last.
    private var isMessageOpen = false
    /// Payload bytes of the current frame that have not arrived yet; never negative.
    private var missing = 0
    /// The masking key, turned so that its lowest byte belongs to the next payload byte.
    private var mask: UInt32 = 0
    /// An integer of the header that was cut by the end of a read: the bytes so far, and how many they are.
    private var partial: UInt64 = 0
    private var partialBytes = 0
    /// Bytes that one compressed message may become; nil when no compression was agreed.
    private let inflatedBytesMax: Int?
    /// While a compressed message arrives.
    private var inflater: Inflater?
    /// The payload of the current control frame; kept, so that later ones need no allocation.
    private var control = ByteBuffer()

    /// - Parameter isClient: true for the side that opened the connection.
    ///   With `inflatedBytesMax` messages may be compressed (RFC 7692), and one may become that large.
    package init(limits: WebSocketLimits = WebSocketLimits(), isClient: Bool = false, inflatedBytesMax: Int? = nil) {
        self.inflatedBytesMax = inflatedBytesMax
        self.limits = limits
        self.isClient = isClient
    }

    /// True once a close frame was answered or an error was thrown. Later input is consumed and ignored.
    package var isClosed: Bool { stage == .closed }

    /// Takes what was read from the peer.
    ///
    /// - Parameters:
    ///   - input: bytes off the network, cut anywhere; consumed whole, unless an error is thrown, or compressed messages
    ///     became so much that what they are should be dealt with first: then call again with the rest.
    ///   - plain: payload of data frames is appended here, unmasked. What came before an error is there too.
    ///   - replies: whole frames (pong, close) to send back are appended here.
    /// - Throws: what the peer did wrong. A close frame with `error.closeCode` is the answer.
    /// - Complexity: O(bytes), one pass, no allocation beyond the growth of the two buffers.
    package mutating func receive(
        _ input: inout ByteBuffer,
        into plain: inout ByteBuffer,
        replies: inout ByteBuffer
    ) throws(WebSocketError) {
        do throws(WebSocketError) {
            let start = plain.writerIndex
            while stage != .closed {
                // A read of small bombs must not become a thousand times its size at once.
                if let inflatedBytesMax, plain.writerIndex - start >= inflatedBytesMax { return }
                takeWholeFrames(&input, into: &plain)
                guard try step(&input, into: &plain, replies: &replies) else { break }
            }
        } catch {
            stage = .closed
            throw error
        }
        if stage == .closed {
            input.moveReaderIndex(to: input.writerIndex)
        }
    }

    /// Whether frames of this side are masked: `maskedFrame` makes them then, and `writeHeader` otherwise.
    package var masks: Bool { isClient }

    /// One binary frame as a client sends it.
    ///
    /// - Complexity: O(bytes), one copy.
    package static func maskedFrame(_ payload: ByteBuffer) -> ByteBuffer {
        var frame = ByteBuffer()
        writeMasked(opcode: .binary, payload, into: &frame)
        return frame
    }

    /// Writes a close frame of this side with a code of RFC 6455 §7.4.1 and no reason.
    package func writeFarewell(code: UInt16, into buffer: inout ByteBuffer) {
        write(opcode: .close, ByteBuffer(integer: code), into: &buffer)
    }

    private func write(opcode: Opcode, _ payload: ByteBuffer, into buffer: inout ByteBuffer) {
        guard !isClient else { return Self.writeMasked(opcode: opcode, payload, into: &buffer) }
        Self.writeHeader(opcode: opcode, payloadBytes: payload.readableBytes, into: &buffer)
        buffer.writeImmutableBuffer(payload)
    }

    /// A new key for each frame, which nobody can foresee (§5.3): a page that decides what is sent must not decide what
    /// stands on the wire.
    private static func writeMasked(
        opcode: Opcode,
        _ payload: ByteBuffer,
        key: UInt32 = .random(in: .min ... .max),
        into buffer: inout ByteBuffer
    ) {
        let count = payload.readableBytes
        buffer.reserveCapacity(minimumWritableBytes: count + 14)
        writeHeader(opcode: opcode, payloadBytes: count, isMasked: true, into: &buffer)
        buffer.writeInteger(key, endianness: .little)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            payload.withUnsafeReadableBytes { source in
                unmask(source, mask: key, into: UnsafeMutableRawBufferPointer(rebasing: target[..<count]))
            }
            return count
        }
    }

    /// Writes the header of one unmasked binary frame that holds `payloadBytes` bytes (server to client).
    package static func writeHeader(payloadBytes: Int, into buffer: inout ByteBuffer) {
        // [5:MQTT-6.0.0-1] [311:MQTT-6.0.0-1] we too send binary frames only.
        writeHeader(opcode: .binary, payloadBytes: payloadBytes, into: &buffer)
    }

    /// The same for a message that is compressed (RFC 7692 §6.1).
    package static func writeCompressedHeader(payloadBytes: Int, into buffer: inout ByteBuffer) {
        writeHeader(opcode: .binary, payloadBytes: payloadBytes, isCompressed: true, into: &buffer)
    }

    /// What a server sends for several packets at once: a frame for each. MQTT has receivers ignore how packets and
    /// frames align, and yet Paho in C looks at no second packet in a frame until more bytes come: its PUBACK would lie
    /// behind the message that was delivered with it.
    ///
    /// - Complexity: O(bytes), one copy.
    package static func frames(ofPackets packets: ByteBuffer) -> ByteBuffer {
        packets.withUnsafeReadableBytes { source in
            var size = 0
            forEachPacket(in: source) { size += headerBytes(payloadBytes: $0.count) + $0.count }
            var frames = ByteBuffer()
            frames.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
                var written = 0
                forEachPacket(in: source) { packet in
                    written += writeHeader(payloadBytes: packet.count, into: target, at: written)
                    UnsafeMutableRawBufferPointer(rebasing: target[written...]).copyMemory(from: packet)
                    written += packet.count
                }
                return written
            }
            return frames
        }
    }

    /// The packets of `bytes` one by one; what is behind the last whole one comes as if it were one.
    private static func forEachPacket(
        in bytes: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        var start = 0
        while start < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
            let count = firstPacketBytes(rest)
            body(UnsafeRawBufferPointer(rebasing: rest[..<count]))
            start += count
        }
    }

    private static func headerBytes(payloadBytes: Int) -> Int {
        switch payloadBytes {
        case ..<126: 2
        case ..<0x1_0000: 4
        default: 10
        }
    }

    /// The header of an unmasked binary frame, into memory that has room for it.
    ///
    /// - Returns: how many bytes it has.
    private static func writeHeader(
        payloadBytes: Int,
        into target: UnsafeMutableRawBufferPointer,
        at start: Int
    ) -> Int {
        // [5:MQTT-6.0.0-1] [311:MQTT-6.0.0-1] binary frames only.
        target[start] = 0x80 | Opcode.binary.rawValue
        let count = headerBytes(payloadBytes: payloadBytes)
        if count == 2 {
            target[start + 1] = UInt8(clamping: payloadBytes)
        } else {
            target[start + 1] = count == 4 ? 126 : 127
            for index in 2..<count {
                target[start + index] = UInt8(truncatingIfNeeded: payloadBytes >> (8 * (count - 1 - index)))
            }
        }
        return count
    }

    /// The same for a client whose keys need not be secret, since nobody else decides what it sends: a load generator.
    /// Most clients send each packet in a frame of its own, and what that costs a broker is part of its cost.
    ///
    /// - Parameters:
    ///   - packets: whole ones; consumed.
    ///   - keys: makes the keys; the system's generator costs more than the masking.
    package static func maskedFrames(
        ofPackets packets: inout ByteBuffer,
        keys: inout some RandomNumberGenerator
    ) -> ByteBuffer {
        var frames = ByteBuffer()
        frames.reserveCapacity(packets.readableBytes + packets.readableBytes / 4 + 64)
        while let packet = packets.readSlice(length: firstPacketBytes(packets)), packet.readableBytes > 0 {
            writeMasked(opcode: .binary, packet, key: keys.next(), into: &frames)
        }
        return frames
    }

    /// How many bytes the first packet has; all there are when it is not there as a whole.
    package static func firstPacketBytes(_ packets: ByteBuffer) -> Int {
        packets.withUnsafeReadableBytes { firstPacketBytes($0) }
    }

    private static func firstPacketBytes(_ packets: UnsafeRawBufferPointer) -> Int {
        var length = 0
        for index in 0..<4 where 1 + index < packets.count {
            let byte = packets[1 + index]
            length |= Int(byte & 0x7F) << (7 * index)
            if byte & 0x80 == 0 { return min(2 + index + length, packets.count) }
        }
        return packets.count
    }

    private static func writeHeader(
        opcode: Opcode,
        payloadBytes: Int,
        isMasked: Bool = false,
        isCompressed: Bool = false,
        into buffer: inout ByteBuffer
    ) {
        let first = (isCompressed ? 0xC0 : 0x80) | opcode.rawValue
        let maskBit: UInt8 = isMasked ? 0x80 : 0
        switch payloadBytes {
        case ..<126:
            buffer.writeMultipleIntegers(first, maskBit | UInt8(clamping: payloadBytes))
        case ..<0x1_0000:
            buffer.writeMultipleIntegers(first, maskBit | 126, UInt16(clamping: payloadBytes))
        default:
            buffer.writeMultipleIntegers(first, maskBit | 127, UInt64(clamping: payloadBytes))
        }
    }

    /// Takes what nearly all reads hold: whole, final binary frames below 64 KB, in one go and without the steps below.
    /// Stops at whatever is anything else, valid or not. About a sixth of the cost of a small frame otherwise.
    private func takeWholeFrames(_ input: inout ByteBuffer, into plain: inout ByteBuffer) {
        let start = input.getInteger(at: input.readerIndex, as: UInt8.self)
        guard start == 0x80 | Opcode.binary.rawValue, stage == .head, partialBytes == 0, !isMessageOpen, !isClient
        else {
            return
        }
        let payloadBytesMax = limits.frameBytesMax
        var taken = 0
        // All payload together is shorter than the input.
        plain.writeWithUnsafeMutableBytes(minimumWritableBytes: input.readableBytes) { target in
            input.withUnsafeReadableBytes { source in
                var written = 0
                while source.count - taken >= 8, source[taken] == 0x80 | Opcode.binary.rawValue {
                    var count = Int(source[taken + 1]) - 0x80
                    var payload = taken + 6
                    if count == 126 {
                        count = Int(source[taken + 2]) << 8 | Int(source[taken + 3])
                        payload = taken + 8
                        guard count > 125 else { break }
                    } else if count == 127 {
                        break
                    }
                    guard count >= 0, count <= payloadBytesMax, count <= source.count - payload else { break }
                    Self.unmask(
                        UnsafeRawBufferPointer(rebasing: source[payload..<payload + count]),
                        mask: UInt32(littleEndian: source.loadUnaligned(fromByteOffset: payload - 4, as: UInt32.self)),
                        into: UnsafeMutableRawBufferPointer(rebasing: target[written..<written + count])
                    )
                    written += count
                    taken = payload + count
                }
                return written
            }
        }
        input.moveReaderIndex(forwardBy: taken)
    }

    /// Takes one integer of a header or one stretch of payload; false when more input is needed.
    private mutating func step(
        _ input: inout ByteBuffer,
        into plain: inout ByteBuffer,
        replies: inout ByteBuffer
    ) throws(WebSocketError) -> Bool {
        switch stage {
        case .head:
            guard let head = collect(UInt16.self, from: &input) else { return false }
            try headReceived(head)
        case .length16:
            guard let length = collect(UInt16.self, from: &input) else { return false }
            guard length > 125 else { throw .malformedLength }
            try lengthReceived(UInt64(length))
        case .length64:
            guard let length = collect(UInt64.self, from: &input) else { return false }
            // The highest bit must be zero; a signed length must never be made of it (NATS' CVE-2026-27889).
            guard length > UInt64(UInt16.max), length <= UInt64(Int64.max) else { throw .malformedLength }
            try lengthReceived(length)
        case .mask:
            guard let key = collect(UInt32.self, from: &input) else { return false }
            mask = key.byteSwapped
            stage = .payload
            if missing == 0 {
                try frameEnded(into: &plain, replies: &replies)
            }
        case .payload:
            guard input.readableBytes > 0 || missing == 0 else { return false }
            if opcode.isControl {
                var payload = ByteBuffer()
                swap(&payload, &control)
                unmask(&input, into: &payload)
                swap(&payload, &control)
            } else if let inflater {
                var packed = ByteBuffer()
                unmask(&input, into: &packed)
                try Self.inflate(packed, with: inflater, into: &plain)
            } else {
                // [5:MQTT-6.0.0-2] [311:MQTT-6.0.0-2] packets and frames need not align: payload is one stream.
                unmask(&input, into: &plain)
            }
            if missing == 0 {
                try frameEnded(into: &plain, replies: &replies)
            }
        case .closed:
            return false
        }
        return true
    }

    private mutating func headReceived(_ head: UInt16) throws(WebSocketError) {
        let first = UInt8(truncatingIfNeeded: head >> 8)
        let second = UInt8(truncatingIfNeeded: head)
        let reserved = first & 0x70
        guard reserved == 0 || reserved == 0x40 && inflatedBytesMax != nil else { throw .reservedBits }
        guard let opcode = Opcode(rawValue: first & 0x0F) else { throw .reservedOpcode }
        // RFC 7692 §6.1: the first frame of a message says that it is compressed, no other.
        guard reserved == 0 || opcode == .binary || opcode == .text else { throw .reservedBits }
        let isMasked = second & 0x80 != 0
        guard isMasked != isClient else { throw isClient ? .maskedFrame : .unmaskedFrame }
        self.opcode = opcode
        isFinal = first & 0x80 != 0
        let length = second & 0x7F

        switch opcode {
        case .text:
            // [5:MQTT-6.0.0-1] [311:MQTT-6.0.0-1] any data frame that is not binary ends the connection.
            throw .textFrame
        case .binary:
            guard !isMessageOpen else { throw .unfinishedMessage }
            isMessageOpen = !isFinal
            inflater = reserved == 0 ? nil : inflatedBytesMax.flatMap { Inflater(bytesMax: $0) }
            if reserved != 0, inflater == nil { throw .inflatedTooLarge }
        case .continuation:
            guard isMessageOpen else { throw .continuationWithoutStart }
            isMessageOpen = !isFinal
        case .close, .ping, .pong:
            guard isFinal else { throw .fragmentedControlFrame }
            guard length <= Self.controlPayloadMax else { throw .oversizedControlFrame }
            control.clear()
        }

        switch length {
        case 126: stage = .length16
        case 127: stage = .length64
        default: try lengthReceived(UInt64(length))
        }
    }

    private mutating func lengthReceived(_ length: UInt64) throws(WebSocketError) {
        guard let length = Int(exactly: length), opcode.isControl || length <= limits.frameBytesMax else {
            throw .frameTooLarge
        }
        missing = length
        mask = 0
        stage = isClient ? .payload : .mask
    }

    private static func inflate(
        _ packed: ByteBuffer,
        with inflater: Inflater,
        into plain: inout ByteBuffer
    ) throws(WebSocketError) {
        do {
            try packed.withUnsafeReadableBytes { try inflater.inflate($0, into: &plain) }
        } catch let error as WebSocketError {
            throw error
        } catch {
            throw .malformedDeflate
        }
    }

    private mutating func frameEnded(
        into plain: inout ByteBuffer,
        replies: inout ByteBuffer
    ) throws(WebSocketError) {
        stage = .head
        switch opcode {
        case .ping:
            write(opcode: .pong, control, into: &replies)
        case .close:
            try closeReceived(replies: &replies)
        case .binary, .continuation:
            if isFinal, let inflater {
                try Self.inflate(ByteBuffer(bytes: Inflater.tail), with: inflater, into: &plain)
                self.inflater = nil
            }
        case .pong, .text:
            break
        }
    }

    private mutating func closeReceived(replies: inout ByteBuffer) throws(WebSocketError) {
        stage = .closed
        guard control.readableBytes > 0 else {
            write(opcode: .close, ByteBuffer(), into: &replies)
            return
        }
        guard let code = control.readInteger(as: UInt16.self) else { throw .malformedClose }
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: break
        default: throw .malformedClose
        }
        do {
            _ = try control.readUTF8ValidatedString(length: control.readableBytes)
        } catch {
            throw .malformedCloseReason
        }
        writeFarewell(code: code, into: &replies)
    }

    /// Reads a big-endian integer that may be cut by the end of a read; nil until its last byte came.
    private mutating func collect<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type,
        from input: inout ByteBuffer
    ) -> Value? {
        if partialBytes == 0, let whole = input.readInteger(as: type) {
            return whole
        }
        while let byte = input.readInteger(as: UInt8.self) {
            partial = partial << 8 | UInt64(byte)
            partialBytes += 1
            if partialBytes == MemoryLayout<Value>.size {
                defer {
                    partial = 0
                    partialBytes = 0
                }
                return Value(truncatingIfNeeded: partial)
            }
        }
        return nil
    }

    /// Moves what there is of the current frame's payload to `output` and takes the mask off on the way.
    private mutating func unmask(_ input: inout ByteBuffer, into output: inout ByteBuffer) {
        let count = min(missing, input.readableBytes)
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            input.withUnsafeReadableBytes { source in
                Self.unmask(
                    UnsafeRawBufferPointer(rebasing: source[..<count]),
                    mask: mask,
                    into: UnsafeMutableRawBufferPointer(rebasing: target[..<count])
                )
            }
            return count
        }
        input.moveReaderIndex(forwardBy: count)
        missing -= count
        mask = Self.turned(mask, by: count)
    }

    /// Copies and takes the mask off in one pass, eight bytes at a time; the source is left alone, since it may share
    /// its storage. `target` is as long as `source`.
    private static func unmask(
        _ source: UnsafeRawBufferPointer,
        mask: UInt32,
        into target: UnsafeMutableRawBufferPointer
    ) {
        let count = min(source.count, target.count)
        guard count >= 8 else {
            var mask = mask
            for index in 0..<count {
                target[index] = source[index] ^ UInt8(truncatingIfNeeded: mask)
                mask = turned(mask, by: 1)
            }
            return
        }
        let wideMask = UInt64(mask) << 32 | UInt64(mask)
        var index = 0
        while count - index >= 8 {
            unmaskWord(source, at: index, mask: wideMask, into: target)
            index += 8
        }
        if index < count {
            // The last eight bytes; some of them a second time, from the source again.
            let mask = turned(mask, by: count)
            unmaskWord(source, at: count - 8, mask: UInt64(mask) << 32 | UInt64(mask), into: target)
        }
    }

    private static func unmaskWord(
        _ source: UnsafeRawBufferPointer,
        at index: Int,
        mask: UInt64,
        into target: UnsafeMutableRawBufferPointer
    ) {
        let word = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        target.storeBytes(of: (word ^ mask).littleEndian, toByteOffset: index, as: UInt64.self)
    }

    /// The mask as it stands `count` payload bytes later.
    private static func turned(_ mask: UInt32, by count: Int) -> UInt32 {
        let bits = UInt32(8 * (count & 3))
        return bits == 0 ? mask : mask >> bits | mask << (32 - bits)
    }
}

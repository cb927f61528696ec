import NIOCore

/// What nearly all traffic consists of, taken in one look at the bytes: a PUBLISH without properties, or with a mark
/// alone, to the topic of the PUBLISH before, and acknowledgements that say no more than their identifier. Field by field,
/// each would cost a look at the buffer's bounds and owner of its own: measured, three times as much.
extension PacketDecoder {
    private enum Plain {
        case publish(flags: UInt8, packetID: UInt16, headerBytes: Int, payloadBytes: Int, LinkMark?)
        case acknowledgement(firstByte: UInt8, packetID: UInt16)
    }

    /// Takes such a packet off the front of `buffer`. Nil for everything else, right, wrong or not yet whole: that is
    /// judged by those who read field by field.
    mutating func plainPacket(from buffer: inout ByteBuffer) -> Packet? {
        guard let version, let plain = unsafe buffer.withUnsafeReadableBytes({ unsafe plain($0, version) }) else {
            return nil
        }
        switch plain {
        case .publish(let flags, let packetID, let headerBytes, let payloadBytes, let mark):
            guard let payload = buffer.getSlice(at: buffer.readerIndex + headerBytes, length: payloadBytes) else {
                return nil
            }
            // Within what is readable, as was just seen.
            buffer.moveReaderIndex(forwardBy: headerBytes + payloadBytes)
            return .publish(
                Publish(
                    topic: lastTopic,
                    payload: payload,
                    qos: PublishFlags.qos(flags) ?? .atMostOnce,
                    packetID: packetID,
                    isRetained: flags & PublishFlags.retain != 0,
                    isDuplicate: flags & PublishFlags.duplicate != 0,
                    mark: mark
                )
            )
        case .acknowledgement(let firstByte, let packetID):
            buffer.moveReaderIndex(forwardBy: 4)
            let ack = PublishAck(packetID: packetID)
            return switch firstByte {
            case 0x40: .pubAck(ack)
            case 0x50: .pubRec(ack)
            case 0x62: .pubRel(ack)
            default: .pubComp(ack)
            }
        }
    }

    private func plain(_ bytes: UnsafeRawBufferPointer, _ version: ProtocolVersion) -> Plain? {
        guard bytes.count >= 4 else { return nil }
        let first = unsafe bytes[0]
        guard first >> 4 == PacketType.publish.rawValue else {
            // Both sides send all four, in every version; the flags are the ones of their types.
            guard first == 0x40 || first == 0x50 || first == 0x62 || first == 0x70, unsafe bytes[1] == 2,
                limits.maximumPacketSize >= 4
            else {
                return nil
            }
            let packetID = unsafe Self.twoBytes(bytes, at: 2)
            return packetID == 0 ? nil : .acknowledgement(firstByte: first, packetID: packetID)
        }
        let flags = first & 0x0F
        guard let qos = PublishFlags.qos(flags), qos > .atMostOnce || flags & PublishFlags.duplicate == 0 else {
            return nil
        }
        var end = unsafe Int(bytes[1])
        var offset = 2
        if end > 0x7F {
            // Two bytes say up to 16 KB, in the shortest form when the second is not zero.
            guard unsafe bytes[2] > 0, unsafe bytes[2] <= 0x7F else { return nil }
            end = unsafe end & 0x7F | Int(bytes[2]) << 7
            offset = 3
        }
        end += offset
        let topicBytes = lastTopic.count
        var headerBytes = offset + 2 + topicBytes + (qos == .atMostOnce ? 0 : 2) + (version == .v5 ? 1 : 0)
        guard end <= bytes.count, headerBytes <= end, end <= limits.maximumPacketSize, topicBytes > 0,
            unsafe Int(Self.twoBytes(bytes, at: offset)) == topicBytes
        else {
            return nil
        }
        offset += 2
        guard unsafe lastTopic.isEqual(to: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + topicBytes])) else {
            return nil
        }
        offset += topicBytes
        var packetID: UInt16 = 0
        if qos > .atMostOnce {
            packetID = unsafe Self.twoBytes(bytes, at: offset)
            if packetID == 0 { return nil }
        }
        var mark: LinkMark?
        if version == .v5, case let section = unsafe Int(bytes[headerBytes - 1]), section > 0 {
            guard section <= 0x7F, headerBytes + section <= end else { return nil }
            mark = unsafe LinkMark(
                section: UnsafeRawBufferPointer(rebasing: bytes[headerBytes..<headerBytes + section]))
            if mark == nil { return nil }
            headerBytes += section
        }
        let payloadBytes = end - headerBytes
        return .publish(
            flags: flags, packetID: packetID, headerBytes: headerBytes, payloadBytes: payloadBytes, mark)
    }

    /// The caller has seen that they are there, and the pointer looks again.
    private static func twoBytes(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt16 {
        unsafe UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
}

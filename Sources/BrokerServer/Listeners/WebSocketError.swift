/// What a peer may do wrong in the framing of RFC 6455. Each ends the connection, with the close code of §7.4.1.
package enum WebSocketError: Error, Equatable, Sendable {
    /// A client masks every frame (§5.1).
    case unmaskedFrame
    /// A server masks none (§5.1).
    case maskedFrame
    /// RSV1 to RSV3 belong to extensions, and none was agreed (§5.2).
    case reservedBits
    case reservedOpcode
    /// MQTT travels in binary frames only.
    case textFrame
    case fragmentedControlFrame
    /// Control frames carry 125 bytes at most (§5.5).
    case oversizedControlFrame
    case continuationWithoutStart
    /// A new message began before the one before it ended (§5.4).
    case unfinishedMessage
    /// The length was not written in the fewest bytes, or its highest bit was set (§5.2).
    case malformedLength
    case frameTooLarge
    /// A compressed message becomes larger than may be (RFC 7692 leaves the bound to us).
    case inflatedTooLarge
    /// A compressed message is not compressed.
    case malformedDeflate
    /// A close frame with one byte, or with a code that must not be sent (§7.4).
    case malformedClose
    /// The reason in a close frame is not UTF-8 (§5.5.1).
    case malformedCloseReason

    /// The code that the answer carries (§7.4.1).
    package var closeCode: UInt16 {
        switch self {
        case .textFrame: 1003
        case .malformedCloseReason, .malformedDeflate: 1007
        case .frameTooLarge, .inflatedTooLarge: 1009
        case .unmaskedFrame, .maskedFrame, .reservedBits, .reservedOpcode, .fragmentedControlFrame,
            .oversizedControlFrame,
            .continuationWithoutStart, .unfinishedMessage, .malformedLength, .malformedClose:
            1002
        }
    }
}

package import NIOCore

/// What somebody speaks, told from the first bytes that it says.
package enum FirstBytes: Sendable, Equatable {
    /// A CONNECT: packet type 1 without flags (§3.1.1).
    case mqtt
    /// The record of a handshake in any version since SSL 3 (RFC 8446 §5.1).
    case tls
    /// A request line; a WebSocket begins as one.
    case http
    /// None of them.
    case unknown

    /// - Returns: nil while it cannot be said: nothing has come, or the first byte of what may be TLS.
    package static func recognise(_ bytes: ByteBuffer) -> FirstBytes? {
        guard let first = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return nil }
        switch first {
        case 0x10:
            return .mqtt
        case 0x16:
            guard let second = bytes.getInteger(at: bytes.readerIndex + 1, as: UInt8.self) else { return nil }
            return second == 0x03 ? .tls : .unknown
        case UInt8(ascii: "A")...UInt8(ascii: "Z"):
            // Methods are upper case (RFC 9110 §9.1); CONNECT of HTTP begins with a C and not with 0x10.
            return .http
        default:
            return .unknown
        }
    }
}

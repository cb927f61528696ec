package import BrokerCore
package import NIOCore

/// What a proxy says of the client before the client's own bytes: the PROXY protocol of HAProxy, versions 1 and 2.
///
/// ```
/// 1   PROXY TCP4 203.0.113.7 198.51.100.1 5544 443\r\n        107 bytes at most
/// 2   signature (12 bytes), version and command, family, length (2 bytes), addresses, further fields
/// ```
package enum ProxyHeader: Sendable, Equatable {
    /// It speaks for a client.
    case client(address: NetworkAddress, port: UInt16)
    /// It speaks for a client that came over a Unix socket, and so has no address.
    case unaddressed
    /// It speaks for itself (a health check), or does not know: the socket says who it is.
    case own

    /// Which of the two a listener expects.
    package enum Version: String, Sendable, CaseIterable {
        case v1
        case v2
        /// Either; they differ in their first byte.
        case any
    }

    /// Why it is none; the connection ends.
    package struct Malformed: Error, Sendable, Equatable {
        package let reason: String
    }

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    private static let textBytesMax = 107
    private static let binaryHeadBytes = 16
    /// More than any proxy adds in further fields; a stranger could make us hold 64 KiB otherwise.
    private static let binaryBodyMax = 4_096

    /// Takes the header off the front of what came.
    ///
    /// - Returns: nil when it has not arrived whole; then nothing is taken.
    package static func take(
        from bytes: inout ByteBuffer,
        _ version: Version
    ) throws(Malformed) -> ProxyHeader? {
        guard let first = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return nil }
        switch (first, version) {
        case (UInt8(ascii: "P"), .v1), (UInt8(ascii: "P"), .any): return try takeText(from: &bytes)
        case (0x0D, .v2), (0x0D, .any): return try takeBinary(from: &bytes)
        default: throw Malformed(reason: "no PROXY header of version \(version == .any ? "1 or 2" : version.rawValue)")
        }
    }

    // MARK: Version 1

    private static func takeText(from bytes: inout ByteBuffer) throws(Malformed) -> ProxyHeader? {
        let expected = Array("PROXY ".utf8)
        let start = bytes.readableBytesView.prefix(textBytesMax)
        guard start.prefix(expected.count).elementsEqual(expected.prefix(start.count)) else {
            throw Malformed(reason: "it does not begin with PROXY")
        }
        guard let end = start.firstIndex(of: 0x0A) else {
            guard start.count < textBytesMax else { throw Malformed(reason: "the line is longer than 107 bytes") }
            return nil
        }
        guard end > start.startIndex, start[end - 1] == 0x0D else {
            throw Malformed(reason: "the line does not end with CR LF")
        }
        let line = String(decoding: start[..<(end - 1)], as: UTF8.self)
        bytes.moveReaderIndex(to: end + 1)
        return try header(ofLine: line)
    }

    private static func header(ofLine line: String) throws(Malformed) -> ProxyHeader {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        // Whatever follows UNKNOWN is to be ignored.
        if words.count >= 2, words[1] == "UNKNOWN" { return .own }
        guard words.count == 6 else { throw Malformed(reason: "the line has not six words") }
        guard words[1] == "TCP4" || words[1] == "TCP6" else {
            throw Malformed(reason: "neither TCP4, TCP6 nor UNKNOWN")
        }
        guard let client = address(words[2], isSix: words[1] == "TCP6"),
            address(words[3], isSix: words[1] == "TCP6") != nil
        else { throw Malformed(reason: "an address is no \(words[1]) address") }
        guard let port = port(words[4]), self.port(words[5]) != nil else { throw Malformed(reason: "a port is none") }
        return .client(address: client, port: port)
    }

    private static func address(_ text: Substring, isSix: Bool) -> NetworkAddress? {
        text.contains(":") == isSix && !text.contains("%") ? NetworkAddress(text) : nil
    }

    /// Decimal, without sign or leading zeros.
    private static func port(_ text: Substring) -> UInt16? {
        guard text.utf8.count == 1 || text.first != "0" else { return nil }
        return Digits.value(of: text).flatMap { UInt16(exactly: $0) }
    }

    // MARK: Version 2

    private static func takeBinary(from bytes: inout ByteBuffer) throws(Malformed) -> ProxyHeader? {
        let start = bytes.readableBytesView.prefix(signature.count)
        guard start.elementsEqual(signature.prefix(start.count)) else { throw Malformed(reason: "another signature") }
        let head = bytes.readerIndex
        guard let kind = bytes.getInteger(at: head + 12, as: UInt8.self) else { return nil }
        guard kind >> 4 == 2 else { throw Malformed(reason: "version \(kind >> 4) of the binary header") }
        guard kind & 0xF <= 1 else { throw Malformed(reason: "an unknown command") }
        guard let family = bytes.getInteger(at: head + 13, as: UInt8.self),
            let length = bytes.getInteger(at: head + 14, as: UInt16.self)
        else { return nil }
        guard Int(length) <= binaryBodyMax else { throw Malformed(reason: "a header of \(length) bytes") }
        guard bytes.readableBytes >= binaryHeadBytes + Int(length) else { return nil }
        bytes.moveReaderIndex(forwardBy: binaryHeadBytes)
        guard let body = bytes.readSlice(length: Int(length)) else { return nil }
        // LOCAL: whatever follows is to be ignored.
        guard kind & 0xF == 1 else { return .own }
        return try client(in: body, family: family)
    }

    private static func client(in body: ByteBuffer, family: UInt8) throws(Malformed) -> ProxyHeader {
        var body = body
        switch family {
        case 0x00:
            return .own
        case 0x11, 0x21:
            // Where from and where to, and then the ports of both.
            let addressBytes = family == 0x11 ? 4 : 16
            guard body.readableBytes >= 2 * addressBytes + 4, let bytes = body.readBytes(length: addressBytes),
                let address = NetworkAddress(bytes: bytes), body.readSlice(length: addressBytes) != nil,
                let port = body.readInteger(as: UInt16.self)
            else { throw Malformed(reason: "too short for its addresses") }
            return .client(address: address, port: port)
        case 0x31:
            guard body.readableBytes >= 216 else { throw Malformed(reason: "too short for its addresses") }
            return .unaddressed
        default:
            throw Malformed(reason: "an address that is none of a stream")
        }
    }
}

/// What client and server have agreed on for the compression of their messages (permessage-deflate, RFC 7692).
///
/// Neither side keeps its window from one message to the next: an idle connection then costs no memory for it, and one
/// compressor serves all connections of a loop. A server may decide both (§7.1.1).
package struct DeflateAgreement: Sendable, Equatable {
    /// log2 of the window with which we compress; 9 to 15.
    package var windowBits = 15
    /// Whether the client asked for a window, so that the answer names it.
    private var isWindowNamed = false

    /// Takes the first offer that can be met.
    ///
    /// - Parameter fields: every Sec-WebSocket-Extensions field of a request, as it came.
    /// - Returns: nil when there is none; the connection is opened without compression then.
    package init?(_ fields: [String]) {
        for offer in fields.flatMap({ $0.split(separator: ",") }) {
            guard let agreement = Self(offer: offer) else { continue }
            self = agreement
            return
        }
        return nil
    }

    private init?(offer: Substring) {
        let parts = offer.split(separator: ";", omittingEmptySubsequences: false).map(Self.trimmed)
        guard parts.first?.lowercased() == "permessage-deflate" else { return nil }
        var seen: Set<String> = []
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(Self.trimmed)
            guard let name = pair.first?.lowercased(), seen.insert(name).inserted else { return nil }
            let value = pair.count == 2 ? Self.unquoted(pair[1]) : nil
            switch (name, value) {
            case ("server_no_context_takeover", nil), ("client_no_context_takeover", nil),
                ("client_max_window_bits", nil):
                break
            case ("client_max_window_bits", let value?):
                // We take any window; what is no number is no offer.
                guard Self.bits(value) != nil else { return nil }
            case ("server_max_window_bits", let value?):
                // zlib has no raw deflate with a window of 256 bytes.
                guard let bits = Self.bits(value), bits > 8 else { return nil }
                windowBits = bits
                isWindowNamed = true
            default:
                return nil
            }
        }
    }

    /// What the answer says.
    package var field: String {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            + (isWindowNamed ? "; server_max_window_bits=\(windowBits)" : "")
    }

    private static func bits(_ text: Substring) -> Int? {
        guard text.first != "0", let bits = Digits.value(of: text), (8...15).contains(bits) else { return nil }
        return bits
    }

    private static func unquoted(_ text: Substring) -> Substring {
        text.count >= 2 && text.hasPrefix("\"") && text.hasSuffix("\"") ? text.dropFirst().dropLast() : text
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}

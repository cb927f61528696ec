/// `rate` of a listener: how much one client may send, and how many may come.
///
/// Bytes and messages are measured per connection by leaky buckets. Whoever is too fast is not read from until the
/// bucket has leaked: nothing is lost, and the sender's own TCP slows it down.
package struct RateLimit: Sendable, Equatable {
    /// `bytes`: of one connection, per second; nil: no limit.
    package var bytesPerSecond: Int?
    /// `burst`: what may come at once before that counts; default: what one second lets through.
    package var burstBytes: Int?
    /// `messages`: packets of one connection that ask for something, per second; as many may come at once. Nil: no limit.
    package var messagesPerSecond: Int?
    /// `connects`: connections of the listener, per second; nil: no limit.
    package var connectsPerSecond: Int?

    package init() {}

    /// Whether a connection has to be measured.
    var limitsTraffic: Bool { bytesPerSecond != nil || messagesPerSecond != nil }
}

/// Rates as operators write them: `100KiB/s`, `200/s`.
package enum RateText {
    /// - Returns: the number per second; nil when `text` is no rate.
    package static func count(in text: String) -> Int? {
        text.hasSuffix("/s") ? Digits.value(of: text.dropLast(2)) : nil
    }

    /// - Returns: bytes per second; nil when `text` is no rate of bytes.
    package static func bytes(in text: String) -> Int? {
        text.hasSuffix("/s") ? SizeText.bytes(in: String(text.dropLast(2))) : nil
    }
}

package import NIOCore

/// What is known of a connection before it says anything in MQTT or HTTP.
package struct Arrival: Sendable {
    /// When it was accepted: one deadline runs from here to the whole CONNECT, through TLS and HTTP.
    package var at: NIODeadline
    /// What its certificate calls it, if the listener asks for that.
    package var certificateName: String?

    package init(at: NIODeadline, certificateName: String? = nil) {
        self.at = at
        self.certificateName = certificateName
    }

    /// For how long it has been here.
    package func age(now: NIODeadline) -> Duration { .nanoseconds(max(0, (now - at).nanoseconds)) }
}

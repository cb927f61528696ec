/// What becomes of a version 5 connection whose PUBLISH the access rules deny.
package enum DeniedPublish: String, Sendable, CaseIterable {
    /// PUBACK or PUBREC with 0x87; QoS 0 is dropped.
    case refuse
    /// DISCONNECT with 0x87.
    case disconnect
}

/// The same for version 3, which knows these two answers only [311:MQTT-3.3.5-2].
package enum DeniedPublishOfVersion3: String, Sendable, CaseIterable {
    /// Acknowledged as its QoS asks, and dropped.
    case acknowledge
    /// The connection is closed, so that the client notices.
    case disconnect
}

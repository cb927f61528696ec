/// Why bytes are not an MQTT packet. The peer is wrong: its connection ends with `reason`.
package struct DecodeError: Error, Sendable, Equatable {
    /// The reason code for DISCONNECT or CONNACK: 0x81, 0x82, 0x84, 0x90, 0x94, 0x95 ...
    package var reason: ReasonCode
    /// The statement or section of the standard that was broken, as `[5:MQTT-3.3.1-4]` or `[5:§3.3.2.3.4]`.
    package var statement: String
    /// What was wrong, in words; never contains payload, password or token.
    package var explanation: String
    /// Offset in bytes from the start of the packet at which it was noticed.
    package var offset: Int

    package init(reason: ReasonCode, statement: String, explanation: String, offset: Int) {
        self.reason = reason
        self.statement = statement
        self.explanation = explanation
        self.offset = offset
    }
}

extension DecodeError: CustomStringConvertible {
    package var description: String {
        "\(explanation) at byte \(offset) (\(reason.name)) \(statement)"
    }
}

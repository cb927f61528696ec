/// What a WebSocket peer may send in one piece.
package struct WebSocketLimits: Sendable, Equatable {
    /// Payload of one data frame. Payload is passed on as it arrives, so this bounds what a peer may claim, not memory;
    /// packets have the decoder's own limit.
    package var frameBytesMax: Int

    package init(frameBytesMax: Int = 16 << 20) {
        self.frameBytesMax = frameBytesMax
    }
}

package import MQTTCodec
import NIOCore

/// What the broker says of itself, under `$SYS`.
extension Shard {
    /// Keeps a value for whoever subscribes to it from now on. It is not stored: the next start says it anew.
    ///
    /// - Parameter topic: begins with `$SYS/`; wildcards at its first level do not match it [5:MQTT-4.7.2-1].
    package func tell(_ topic: MQTTString, _ text: String, now: Now) {
        retained.set(
            Message(
                id: ids.next(now.wall),
                topic: topic,
                payload: ByteBuffer(string: text),
                qos: .atMostOnce,
                isRetained: true,
                properties: Properties(),
                expiry: nil
            )
        )
    }
}

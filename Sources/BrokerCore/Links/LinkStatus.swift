package import MQTTCodec

/// Where a link says how it is, in the words of mosquitto: `1` retained while something moves, else `0`.
package struct LinkStatusSettings: Sendable, Equatable {
    /// Ends with `/state`, or any other topic.
    package var topic: MQTTString
    /// Whether the upstream does not hear it.
    package var isLocalOnly = true
    /// Whether there is a topic beside it that says more, as JSON.
    package var hasDetail = true

    package init(topic: MQTTString) { self.topic = topic }

    /// `…/state` becomes `…/detail`; whatever has another name gets one more level.
    package var detailTopic: MQTTString {
        let text = topic.string
        return MQTTString((text.hasSuffix("/state") ? String(text.dropLast(6)) : text) + "/detail")
    }
}

/// What the spool knows of a link's queue.
package struct LinkQueueFigures: Sendable, Equatable {
    package var messages: Int
    package var bytes: Int
    /// Whole seconds; nil when nothing waits, or nobody looked.
    package var oldestSeconds: Int?

    package init(messages: Int = 0, bytes: Int = 0, oldestSeconds: Int? = nil) {
        self.messages = messages
        self.bytes = bytes
        self.oldestSeconds = oldestSeconds
    }
}

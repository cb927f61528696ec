/// A validated topic filter of a SUBSCRIBE or UNSUBSCRIBE (§4.7), `$share/NAME/FILTER` included (§4.8.2).
package struct TopicFilter: Sendable, Hashable {
    /// The filter as it was sent; UNSUBSCRIBE compares this [5:MQTT-3.10.4-1].
    package let text: MQTTString
}

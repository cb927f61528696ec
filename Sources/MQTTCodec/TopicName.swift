/// The rules for topic names: what a PUBLISH, a will or a Response Topic may name (§4.7).
package enum TopicName {
    /// Whether `topic` may be published to.
    package static func isValid(_ topic: MQTTString, maximumLevels: Int = 128) -> Bool {
        do throws(DecodeError) {
            try validate(topic, maximumLevels: maximumLevels)
            return true
        } catch {
            return false
        }
    }

    /// - Throws: reason 0x90 with the statement that is broken.
    package static func validate(_ topic: MQTTString, maximumLevels: Int = 128) throws(DecodeError) {
        let survey = unsafe topic.withBytes { unsafe TextSurvey($0) }
        try validate(survey, count: topic.count, maximumLevels: maximumLevels, offset: 0)
    }

    static func validate(
        _ survey: TextSurvey,
        count: Int,
        maximumLevels: Int,
        offset: Int
    ) throws(DecodeError) {
        func invalid(_ statement: String, _ explanation: String) -> DecodeError {
            DecodeError(reason: .topicNameInvalid, statement: statement, explanation: explanation, offset: offset)
        }
        // [5:MQTT-4.7.3-1] [311:MQTT-4.7.3-1]
        if count == 0 { throw invalid("[5:MQTT-4.7.3-1]", "empty topic name") }
        // [5:MQTT-4.7.3-3] [311:MQTT-4.7.3-3]
        if count > CodecLimits.fieldBytesMax { throw invalid("[5:MQTT-4.7.3-3]", "topic name above 65,535 bytes") }
        // [5:MQTT-4.7.3-2] [311:MQTT-4.7.3-2]
        if survey.hasNull { throw invalid("[5:MQTT-4.7.3-2]", "U+0000 in a topic name") }
        // [5:MQTT-4.7.0-1] [5:MQTT-3.3.2-2] [311:MQTT-4.7.1-1] [311:MQTT-3.3.2-2]
        if survey.hasWildcard { throw invalid("[5:MQTT-3.3.2-2]", "wildcard in a topic name") }
        if survey.levels > maximumLevels { throw invalid("[5:§4.7.1.1]", "too many levels in a topic name") }
    }
}

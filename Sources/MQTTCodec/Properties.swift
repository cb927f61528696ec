package import NIOCore

/// The properties of a version 5 packet (§2.2.2): one optional for each, absent by default.
///
/// The values live in a box that is copied on write, so that a packet without properties carries one nil pointer
/// and a packet with properties is passed on without copying some 300 bytes.
package struct Properties: Sendable, Equatable {
    private var box: Box?

    package init() {}

    /// True when no property is present.
    package var isEmpty: Bool { box == nil }

    package static func == (a: Properties, b: Properties) -> Bool {
        a.box === b.box || a.values == b.values
    }

    private final class Box: Sendable {
        let values: Values
        init(_ values: Values) { self.values = values }
    }

    /// All properties as one value; set it once after changing several.
    package var values: Values {
        get { box?.values ?? Values() }
        // No box for nothing: `isEmpty` is asked on the message path.
        set { box = newValue == Values() ? nil : Box(newValue) }
    }

    package struct UserProperty: Sendable, Hashable {
        package var name: MQTTString
        package var value: MQTTString

        package init(_ name: MQTTString, _ value: MQTTString) {
            self.name = name
            self.value = value
        }
    }

    package struct Values: Sendable, Equatable {
        package init() {}

        /// 0x01
        package var payloadFormatIndicator: UInt8?
        /// 0x02
        package var messageExpiryInterval: UInt32?
        /// 0x03
        package var contentType: MQTTString?
        /// 0x08
        package var responseTopic: MQTTString?
        /// 0x09
        package var correlationData: ByteBuffer?
        /// 0x11
        package var sessionExpiryInterval: UInt32?
        /// 0x12
        package var assignedClientIdentifier: MQTTString?
        /// 0x13
        package var serverKeepAlive: UInt16?
        /// 0x15
        package var authenticationMethod: MQTTString?
        /// 0x16
        package var authenticationData: ByteBuffer?
        /// 0x17
        package var requestProblemInformation: Bool?
        /// 0x18
        package var willDelayInterval: UInt32?
        /// 0x19
        package var requestResponseInformation: Bool?
        /// 0x1A
        package var responseInformation: MQTTString?
        /// 0x1C
        package var serverReference: MQTTString?
        /// 0x1F
        package var reasonString: MQTTString?
        /// 0x21
        package var receiveMaximum: UInt16?
        /// 0x22
        package var topicAliasMaximum: UInt16?
        /// 0x23
        package var topicAlias: UInt16?
        /// 0x24
        package var maximumQoS: QoS?
        /// 0x25
        package var retainAvailable: Bool?
        /// 0x27
        package var maximumPacketSize: UInt32?
        /// 0x28
        package var wildcardSubscriptionAvailable: Bool?
        /// 0x29
        package var subscriptionIdentifiersAvailable: Bool?
        /// 0x2A
        package var sharedSubscriptionAvailable: Bool?
        /// 0x0B, 1...268,435,455; the only property besides user properties that may repeat, and only in PUBLISH
        /// from a server (§3.3.2.3.8).
        package var subscriptionIdentifiers: [UInt32] = []
        /// 0x26, in the order of the packet [5:MQTT-3.3.2-18].
        package var userProperties: [UserProperty] = []
    }

    package var payloadFormatIndicator: UInt8? {
        get { box?.values.payloadFormatIndicator }
        set { values.payloadFormatIndicator = newValue }
    }
    package var messageExpiryInterval: UInt32? {
        get { box?.values.messageExpiryInterval }
        set { values.messageExpiryInterval = newValue }
    }
    package var contentType: MQTTString? {
        get { box?.values.contentType }
        set { values.contentType = newValue }
    }
    package var responseTopic: MQTTString? {
        get { box?.values.responseTopic }
        set { values.responseTopic = newValue }
    }
    package var correlationData: ByteBuffer? {
        get { box?.values.correlationData }
        set { values.correlationData = newValue }
    }
    package var sessionExpiryInterval: UInt32? {
        get { box?.values.sessionExpiryInterval }
        set { values.sessionExpiryInterval = newValue }
    }
    package var assignedClientIdentifier: MQTTString? {
        get { box?.values.assignedClientIdentifier }
        set { values.assignedClientIdentifier = newValue }
    }
    package var serverKeepAlive: UInt16? {
        get { box?.values.serverKeepAlive }
        set { values.serverKeepAlive = newValue }
    }
    package var authenticationMethod: MQTTString? {
        get { box?.values.authenticationMethod }
        set { values.authenticationMethod = newValue }
    }
    package var authenticationData: ByteBuffer? {
        get { box?.values.authenticationData }
        set { values.authenticationData = newValue }
    }
    package var requestProblemInformation: Bool? {
        get { box?.values.requestProblemInformation }
        set { values.requestProblemInformation = newValue }
    }
    package var willDelayInterval: UInt32? {
        get { box?.values.willDelayInterval }
        set { values.willDelayInterval = newValue }
    }
    package var requestResponseInformation: Bool? {
        get { box?.values.requestResponseInformation }
        set { values.requestResponseInformation = newValue }
    }
    package var responseInformation: MQTTString? {
        get { box?.values.responseInformation }
        set { values.responseInformation = newValue }
    }
    package var serverReference: MQTTString? {
        get { box?.values.serverReference }
        set { values.serverReference = newValue }
    }
    package var reasonString: MQTTString? {
        get { box?.values.reasonString }
        set { values.reasonString = newValue }
    }
    package var receiveMaximum: UInt16? {
        get { box?.values.receiveMaximum }
        set { values.receiveMaximum = newValue }
    }
    package var topicAliasMaximum: UInt16? {
        get { box?.values.topicAliasMaximum }
        set { values.topicAliasMaximum = newValue }
    }
    package var topicAlias: UInt16? {
        get { box?.values.topicAlias }
        set { values.topicAlias = newValue }
    }
    package var maximumQoS: QoS? {
        get { box?.values.maximumQoS }
        set { values.maximumQoS = newValue }
    }
    package var retainAvailable: Bool? {
        get { box?.values.retainAvailable }
        set { values.retainAvailable = newValue }
    }
    package var maximumPacketSize: UInt32? {
        get { box?.values.maximumPacketSize }
        set { values.maximumPacketSize = newValue }
    }
    package var wildcardSubscriptionAvailable: Bool? {
        get { box?.values.wildcardSubscriptionAvailable }
        set { values.wildcardSubscriptionAvailable = newValue }
    }
    package var subscriptionIdentifiersAvailable: Bool? {
        get { box?.values.subscriptionIdentifiersAvailable }
        set { values.subscriptionIdentifiersAvailable = newValue }
    }
    package var sharedSubscriptionAvailable: Bool? {
        get { box?.values.sharedSubscriptionAvailable }
        set { values.sharedSubscriptionAvailable = newValue }
    }
    package var subscriptionIdentifiers: [UInt32] {
        get { box?.values.subscriptionIdentifiers ?? [] }
        set { values.subscriptionIdentifiers = newValue }
    }
    package var userProperties: [UserProperty] {
        get { box?.values.userProperties ?? [] }
        set { values.userProperties = newValue }
    }
}

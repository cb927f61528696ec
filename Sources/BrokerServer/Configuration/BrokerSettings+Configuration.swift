import BrokerCore
import Foundation
import MQTTCodec
import NIOCore

extension BrokerSettings {
    /// What the configuration means to the core.
    package init(_ configuration: Configuration) {
        self.init()
        let limits = configuration.limits
        inflightMax = limits.inflightMax
        // Most sessions of a site are connected; some more wait for clients that are away.
        sessionsMax = max(sessionsMax, 5 * limits.connectionsMax)
        receiveMaximum = UInt16(clamping: limits.receiveMaximum)
        packetBytesMax = limits.packetBytesMax
        connectBytesMax = limits.connectBytesMax
        topicLevelsMax = limits.topicLevelsMax
        topicBytesMax = limits.topicBytesMax
        filtersPerPacketMax = limits.filtersPerPacketMax
        maximumQoS = QoS(rawValue: UInt8(clamping: limits.qosMax)) ?? .exactlyOnce
        isRetainAvailable = limits.retainsMessages
        keepAliveMax = limits.keepAliveMax.map { UInt16(clamping: $0.components.seconds) }
        checksPayloadFormat = limits.checksPayloadFormat
        allowsControlCharacters = limits.allowsControlCharacters
        allowsWildcards = limits.allowsWildcards
        writeBufferBytesMax = limits.writeBufferBytesMax
        awaitingReleaseMax = limits.awaitingReleaseMax
        clientIDBytesMax = limits.clientIDBytesMax
        subscriptionsMax = limits.subscriptionsMax
        sessionExpiryMax = UInt32(clamping: limits.sessionExpiry.components.seconds)
        connectTimeout = limits.connectTimeout
        admission = configuration.authentication.chain.isEmpty ? .anonymous : .asking
        authenticationMethods =
            configuration.authentication.chain.contains(.users) ? [MQTTString(SCRAMServer.method)] : []
        access = configuration.access.compiled
        deniedPublish = configuration.access.deniedPublish
        deniedPublishOfVersion3 = configuration.access.deniedPublishOfVersion3
        durability = configuration.durability.mode
        durabilityRules = configuration.durability.rules.compactMap { rule in
            TopicFilter(rule.filter).map { BrokerCore.DurabilityRule(filter: $0, mode: rule.mode) }
        }
        queueMessagesMax = configuration.queue.messagesMax
        queueBytesMax = configuration.queue.bytesMax
        queueAgeMax = configuration.queue.ageMax
        watermarks = configuration.queue.watermarks
        overlapping = configuration.subscriptions.overlapping
        sharedOrder = configuration.sharing.order
        retainedMessagesMax = configuration.retained.messagesMax
        retainedPayloadMax = configuration.retained.payloadBytesMax
        nodeName = MQTTString(configuration.node.id)
        serverReference = configuration.node.serverReference.map { MQTTString($0) }
        isServerMoved = configuration.node.isServerMoved
        systemNames = configuration.metrics.systemNames
        loop = configuration.loop
        linkUsers = Set(configuration.authentication.links.map { MQTTString($0) })
        links = configuration.links.map { LinkSettings($0, node: configuration.node.id) }
        secondsEastOfGreenwich = { wall in
            TimeZone.current.secondsFromGMT(for: Date(timeIntervalSince1970: Double(wall.microseconds) / 1_000_000))
        }
    }
}

extension LinkSettings {
    fileprivate init(_ configuration: LinkConfiguration, node: String) {
        self.init(name: MQTTString(configuration.name), clientID: MQTTString(configuration.clientID))
        versions = configuration.versions
        addressCount = configuration.addresses.count
        keptQoS0 =
            switch configuration.keptQoS0 {
            case .memory: .memory
            case .disk: .disk
            case .drop: .none
            }
        catchUpRate = configuration.catchUpRate
        queueOrder = configuration.queueOrder
        keptRefusedMax = configuration.keptRefusedMax
        order = configuration.preference == .first ? .first : .roundRobin
        connectTimeout = configuration.connectTimeout
        usesBridgeBit = configuration.usesBridgeBit
        usesEchoTable = configuration.usesEchoTable
        trustsMarks = configuration.trustsIDs
        keepAlive = configuration.keepAlive
        sessionExpiry = UInt32(clamping: configuration.sessionExpiry.components.seconds)
        inflightMax = configuration.maxInflight
        acknowledgementTimeout = configuration.acknowledgementTimeout
        probe = configuration.probe
        start = configuration.start
        let topic = configuration.status.topic ?? "$SYS/broker/connection/\(node).\(configuration.name)/state"
        var status = LinkStatusSettings(topic: MQTTString(topic))
        status.isLocalOnly = configuration.status.isLocalOnly
        status.hasDetail = configuration.status.hasDetail
        self.status = status
        addressCount = configuration.addresses.count
        backoff.base = configuration.backoff.base
        backoff.cap = configuration.backoff.cap
        backoff.stable = configuration.backoff.stable
        outRules = configuration.outRules
        inRules = configuration.inRules
    }
}

extension CodecLimits {
    /// What a connection's decoder enforces.
    static func of(_ settings: BrokerSettings) -> CodecLimits {
        var limits = CodecLimits()
        limits.maximumPacketSize = settings.packetBytesMax
        limits.maximumConnectSize = min(settings.connectBytesMax, settings.packetBytesMax)
        limits.maximumTopicLevels = settings.topicLevelsMax
        limits.maximumTopicBytes = settings.topicBytesMax
        limits.maximumFiltersPerPacket = settings.filtersPerPacketMax
        limits.refusesControlCharacters = !settings.allowsControlCharacters
        return limits
    }
}

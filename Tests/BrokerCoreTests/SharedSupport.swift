import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

extension ScriptedPeer {
    /// Subscribes, and reads the SUBACK away.
    func joins(_ filter: String, _ qos: QoS, identifier: UInt32? = nil, retainAsPublished: Bool = false) {
        sends(
            .subscribe(
                id: 60_000,
                filters: filter,
                options: SubscriptionOptions(maximumQoS: qos, retainAsPublished: retainAsPublished),
                identifier: identifier
            )
        )
        _ = takes()
    }

    /// Publishes numbered messages, one after the other.
    func says(_ numbers: ClosedRange<Int>, to topic: MQTTString = "t", _ qos: QoS = .atLeastOnce) {
        for number in numbers {
            let id = qos == .atMostOnce ? 0 : UInt16(number)
            sends(.publish(topic: topic, payload: "\(number)", qos: qos, id: id))
            if qos == .exactlyOnce { sends(.pubRel(id: id)) }
        }
        _ = takes()
    }

    var texts: [String] { takesMessages().map(\.text) }

    /// Acknowledges what came with QoS 1, and says what it was.
    func acknowledgesAll() -> [String] {
        let messages = takesMessages()
        for message in messages where message.qos == .atLeastOnce { sends(.pubAck(id: message.packetID)) }
        return messages.map(\.text)
    }
}

extension BrokerSettings {
    /// With the books that every test here closes.
    static let shared: BrokerSettings = {
        var settings = BrokerSettings()
        settings.keepsLedger = true
        return settings
    }()
}

extension ShardHarness {
    /// Two clients whose sessions outlive their connections, both members of `$share/g/t`.
    func durableMembers(_ qos: QoS) -> (ScriptedPeer, ScriptedPeer) {
        let (a, b) = (connectsDurably("a"), connectsDurably("b"))
        for member in [a, b] { member.joins("$share/g/t", qos) }
        return (a, b)
    }

    /// Every message that came has ended in a book, and nothing is left of any on disk.
    func holdsNothing(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(spool.rows == 0, sourceLocation: sourceLocation)
        #expect(spool.identifiers == 0, sourceLocation: sourceLocation)
        #expect(books.isClosed, sourceLocation: sourceLocation)
    }
}

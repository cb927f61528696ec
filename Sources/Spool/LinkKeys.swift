import BrokerCore
import MQTTCodec

/// What waits for links, by topic and publisher: found while the spool is opened.
struct LinkKeys {
    private var found: [ReceiverID: WaitingForLink] = [:]

    init(_ receivers: [SpoolContents.Receiver]) {
        for receiver in receivers {
            guard case .link = receiver.record.kind else { continue }
            found[receiver.record.receiver] = WaitingForLink()
        }
    }

    /// - Parameter read: topic, publisher and mark of the row; only asked for what waits for a link.
    mutating func note(
        _ deliveries: [Delivery],
        at position: Position,
        _ read: () -> (topic: MQTTString, publisher: MQTTString?, mark: LinkMark?)
    ) {
        guard !found.isEmpty else { return }
        for delivery in deliveries where found[delivery.receiver] != nil {
            let (topic, publisher, mark) = read()
            found[delivery.receiver]?.insert(topic, from: publisher, mark, priority: delivery.priority, at: position)
        }
    }

    func give(to receivers: inout [SpoolContents.Receiver]) {
        for index in receivers.indices { receivers[index].waiting = found[receivers[index].record.receiver] }
    }
}

import BrokerCore
import MQTTCodec
import Spool

/// What the upstream refused, and was put aside, goes into the queue again: when the upstream knows better now.
extension LinkQueueDesk {
    func replay(_ order: LinkQueueOrder) async throws -> LinkQueueStep {
        let wanted = try wanted(order)
        let name = MQTTString(order.link)
        return try await alone(with: order.link) {
            let standing = try await errand(.look(name), link: order.link)
            guard standing.isConfigured else { throw Refusal.noLink(order.link) }
            let shelf = RefusedShelf.name(of: name)
            let aside: LinkQueueStanding
            do {
                aside = try await errand(.look(shelf), link: order.link)
            } catch Refusal.noLink {
                // Nothing was ever put aside.
                return LinkQueueStep()
            }
            let through = Position(order.through ?? aside.end.number)
            let spool = spool
            let part = try await blocking {
                try spool.queue(
                    of: aside.receiver,
                    after: Position(order.after ?? 0),
                    rowsMax: Self.rowsMax,
                    entriesMax: Self.messagesMax,
                    bytesMax: Self.bytesMax
                ) { position, message in position <= through && wanted.takes(message) }
            }
            var step = LinkQueueStep(messages: part.entries.count, damaged: part.damaged)
            step.bytes = part.entries.reduce(0) { $0 + $1.message.bytes }
            step.next = part.next.flatMap { $0 < through ? $0.number : nil }
            step.through = through.number
            guard !part.entries.isEmpty else { return step }
            try checkRoom(for: step.messages, step.bytes, standing)
            let messages = part.entries.map { entry in
                (entry.position, CarriedMessage(message: entry.message, delivery: entry.delivery))
            }
            _ = try await errand(.move(messages, from: shelf, to: name), link: order.link)
            return step
        }
    }
}

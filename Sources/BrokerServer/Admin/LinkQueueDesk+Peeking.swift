import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool

/// Looking at the queue of a link, and taking out of it what is not wanted.
extension LinkQueueDesk {
    /// Changes nothing and holds up nobody.
    func peek(_ order: LinkQueueOrder) async throws -> LinkQueuePage {
        let wanted = try wanted(order)
        let standing = try await errand(.look(MQTTString(order.link)), link: order.link)
        let (spool, now) = (spool, now())
        let limit = min(max(1, order.limit ?? Self.peekMax), Self.peekMax)
        let payloadBytes = max(0, order.payloadBytes ?? 0)
        return try await blocking {
            let part = try spool.queue(
                of: standing.receiver,
                after: Position(order.after ?? 0),
                rowsMax: Self.rowsMax,
                entriesMax: limit,
                bytesMax: Self.bytesMax
            ) { wanted.takes($1) }
            return LinkQueuePage(
                messages: part.entries.map { LinkQueuePage.Entry($0, standing, payloadBytes: payloadBytes, now) },
                next: part.next?.number,
                damaged: part.damaged
            )
        }
    }

    /// Takes out what is wanted of the next rows, but for what is in flight.
    func drop(_ order: LinkQueueOrder) async throws -> LinkQueueStep {
        let wanted = try wanted(order)
        if order.isDryRun == true {
            let standing = try await errand(.look(MQTTString(order.link)), link: order.link)
            return try await find(wanted, order, standing).step
        }
        return try await alone(with: order.link) {
            try await holding(order.link) { standing in
                let found = try await find(wanted, order, standing)
                guard !found.positions.isEmpty else { return found.step }
                let name = MQTTString(order.link)
                _ = try await errand(.remove(found.positions, from: name, .dropped, to: nil), link: order.link)
                return found.step
            }
        }
    }

    private struct Found: Sendable {
        var positions: [Position] = []
        var step = LinkQueueStep()
    }

    /// Nothing is kept of the messages themselves, so a step may be long.
    private func find(
        _ wanted: Wanted,
        _ order: LinkQueueOrder,
        _ standing: LinkQueueStanding
    ) async throws -> Found {
        let spool = spool
        return try await blocking {
            var found = Found()
            let part = try spool.queue(
                of: standing.receiver,
                after: Position(order.after ?? 0),
                rowsMax: Self.rowsMax
            ) { position, message in
                guard wanted.takes(message) else { return false }
                if standing.inFlight.contains(position) {
                    found.step.inFlight += 1
                } else {
                    found.positions.append(position)
                    found.step.bytes += message.bytes
                }
                return false
            }
            found.step.messages = found.positions.count
            found.step.damaged = part.damaged
            found.step.next = part.next?.number
            return found
        }
    }
}

extension LinkQueuePage.Entry {
    fileprivate init(
        _ entry: QueuePart.Entry,
        _ standing: LinkQueueStanding,
        payloadBytes: Int,
        _ now: Timestamp
    ) {
        let message = entry.message
        let name = standing.settings.outName(of: message)
        self.init(
            position: entry.position.number,
            id: message.id.description,
            topic: message.topic.string,
            sentAs: name == message.topic ? nil : name?.string,
            qos: Int(entry.delivery.qos.rawValue),
            retained: entry.delivery.isRetained,
            bytes: message.payload.readableBytes,
            came: message.id.time.microseconds,
            expiry: message.expiry?.microseconds,
            ageSeconds: now.seconds(since: message.id.time),
            inFlight: standing.inFlight.contains(entry.position)
        )
        guard payloadBytes > 0 else { return }
        let excerpt = message.payload.readableBytesView.prefix(payloadBytes)
        if let text = Self.text(excerpt, isCut: excerpt.count < message.payload.readableBytes) {
            payload = text
        } else {
            payloadBase64 = Data(excerpt).base64EncodedString()
        }
    }

    /// A cut may fall into the middle of a character: what is left of it goes.
    private static func text(_ bytes: ByteBufferView, isCut: Bool) -> String? {
        for missing in 0...(isCut ? min(3, bytes.count) : 0) {
            if let text = String(validating: bytes.dropLast(missing), as: UTF8.self) { return text }
        }
        return nil
    }
}

import DequeModule
import MQTTCodec

/// QoS 0 for an upstream: sent when it can be, and kept, if that is wanted, while it cannot (`[link.spool] qos0`).
extension Shard {
    func deliverUpstream(
        _ delivery: TransientDelivery,
        to session: Session,
        _ publication: inout Publication,
        _ now: Now
    ) {
        guard let link = session.link else { return }
        let connection = session.connection.flatMap { mayTakeQoS0($0) ? $0 : nil }
        if let connection, session.queue.isEmpty, link.settings.keptQoS0 != .disk || session.flow == .live,
            passOn(&publication, as: delivery, to: session, link, on: connection, now)
        {
            return
        }
        let message = publication.message(&ids, now)
        switch link.settings.keptQoS0 {
        case .none:
            guard let connection else {
                return drop(session.connection?.isOpen == true ? .buffer : .away, session, message)
            }
            sendUpstream(message, session, delivery, on: connection, now)
        case .memory:
            // Never before those that wait.
            if let connection, session.queue.isEmpty {
                return sendUpstream(message, session, delivery, on: connection, now)
            }
            enqueue(
                Session.Queued(
                    message: message,
                    qos: .atMostOnce,
                    isRetained: delivery.isRetained,
                    subscriptionIdentifiers: [],
                    came: now.instant
                ),
                for: session
            )
        case .disk:
            if let connection, session.flow == .live {
                return sendUpstream(message, session, delivery, on: connection, now)
            }
            storeQoS0(message, delivery, session)
        }
    }

    /// Writes a message that goes as it came, without making one that could be kept.
    ///
    /// - Returns: false, and nothing is written, when something has to be added or measured exactly.
    private func passOn(
        _ publication: inout Publication,
        as delivery: TransientDelivery,
        to session: Session,
        _ link: Link,
        on connection: Connection,
        _ now: Now
    ) -> Bool {
        guard publication.properties.isEmpty, !link.addsToMessages,
            let name = link.passage(of: publication.topic, from: publication.clientID)?.name,
            name.count + publication.payloadBytes + Self.headerBytesMax <= connection.packetBytesMax
        else { return false }
        touch(connection)
        counters.sentPublish(payloadBytes: publication.payloadBytes)
        link.traffic.sent &+= 1
        book(.delivered, session, publication.message(&ids, now))
        let mark = connection.carriesMarks ? mark(of: publication.name(&ids, now), publication.mark) : nil
        connection.write(name, publication.payload, Properties(), mark, Delivery(delivery, to: nil))
        return true
    }

    /// All of a PUBLISH without properties but topic and payload.
    private static let headerBytesMax = LinkMark.bytesMax + 16

    private func mayTakeQoS0(_ connection: Connection) -> Bool {
        connection.isOpen && connection.isWritable && !isFull(connection)
    }

    /// Nobody is refused for the sake of QoS 0: where there is no room it goes, and is counted.
    private func storeQoS0(_ message: Message, _ delivery: TransientDelivery, _ session: Session) {
        guard let receiver = session.receiver, spoolRefusal == nil, !session.isFull else {
            return drop(.newest, session, message)
        }
        let deliveries = [Delivery(receiver: receiver, qos: .atMostOnce, isRetained: delivery.isRetained)]
        store(.message(message, deliveries: deliveries))
        let kind = Route.Kind(qos: .atMostOnce, isRetained: delivery.isRetained)
        let audience = Audience(topic: message.topic, kind, durable: [session], deliveries: deliveries)
        stored.append(StoredMessage(message: message, audience: audience))
    }

    /// What was kept in memory, as far as the upstream takes it.
    func feedKept(_ session: Session, _ now: Now) {
        guard session.link != nil, let connection = session.connection else { return }
        giveUpAged(of: session, now.instant)
        while mayTakeQoS0(connection), let next = session.queue.popFirst() {
            session.queueBytes -= next.bytes
            if let expiry = next.message.expiry, expiry <= now.wall {
                counters.expired &+= 1
                drop(.expired, session, next.message)
                continue
            }
            let delivery = TransientDelivery(qos: next.qos, isRetained: next.isRetained, subscriptionIdentifiers: [])
            sendUpstream(next.message, session, delivery, on: connection, now)
        }
        noteLevel(of: session, now.instant)
    }
}

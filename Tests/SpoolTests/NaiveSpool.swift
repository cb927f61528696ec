import BrokerCore
import MQTTCodec
import NIOCore
import Spool

/// What a spool must hold, written so plainly that it is obviously right: everything in dictionaries, nothing clever.
struct NaiveSpool {
    struct Receiver {
        var record: ReceiverRecord
        var queue: [Entry] = []
        var subscriptions: [MQTTString: SubscriptionRecord] = [:]
        var inbound: Set<UInt16> = []
        var outbound: [UInt16: SpoolContents.Outbound] = [:]
    }

    struct Entry: Hashable {
        var position: Position
        var payload: ByteBuffer
        var delivery: Delivery
    }

    let queueMessagesMax: Int
    var receivers: [ReceiverID: Receiver] = [:]
    var retained: [MQTTString: ByteBuffer] = [:]
    var wills: [MQTTString: ByteBuffer] = [:]
    var lastPosition: UInt64 = 0
    var nextReceiver: UInt64 = 1
    var dropped: [ReceiverID: Int] = [:]

    mutating func apply(_ record: SpoolRecord) {
        switch record {
        case .message(let message, let deliveries):
            lastPosition += 1
            for delivery in deliveries {
                let entry = Entry(position: Position(lastPosition), payload: message.payload, delivery: delivery)
                receivers[delivery.receiver]?.queue.append(entry)
                dropOldest(delivery.receiver)
            }
        case .acknowledged(let receiver, let position), .givenUp(let receiver, let position, _):
            receivers[receiver]?.queue.removeAll { $0.position == position }
        case .outboundPublish(let receiver, let packetID, let position):
            receivers[receiver]?.outbound[packetID] =
                .init(packetID: packetID, position: position, isReleased: false)
        case .outboundShared(let receiver, let packetID, let position, let source):
            receivers[receiver]?.outbound[packetID] =
                .init(packetID: packetID, position: position, isReleased: false, source: source)
        case .outboundRelease(let receiver, let packetID, let position):
            receivers[receiver]?.outbound[packetID] = .init(packetID: packetID, position: position, isReleased: true)
            receivers[receiver]?.queue.removeAll { $0.position == position }
        case .outboundComplete(let receiver, let packetID):
            receivers[receiver]?.outbound[packetID] = nil
        case .inboundPublish(let receiver, let packetID):
            receivers[receiver]?.inbound.insert(packetID)
        case .inboundRelease(let receiver, let packetID):
            receivers[receiver]?.inbound.remove(packetID)
        case .receiver(let record):
            receivers[record.receiver, default: Receiver(record: record)].record = record
            nextReceiver = max(nextReceiver, record.receiver.number + 1)
        case .receiverGone(let receiver):
            receivers[receiver] = nil
        case .subscribe(let receiver, let record):
            receivers[receiver]?.subscriptions[record.filter] = record
        case .unsubscribe(let receiver, let filter):
            receivers[receiver]?.subscriptions[filter] = nil
        case .retain(let message):
            retained[message.topic] = message.payload
        case .retainGone(let topic):
            retained[topic] = nil
        case .will(let record):
            wills[record.clientID] = record.message.payload
        case .willGone(let clientID):
            wills[clientID] = nil
        case .removed(let receiver, let positions, _):
            receivers[receiver]?.queue.removeAll { positions.contains($0.position) }
        case .demandsSync, .streamSeen, .carried:
            break
        }
    }

    private mutating func dropOldest(_ number: ReceiverID) {
        guard var receiver = receivers[number], case .session = receiver.record.kind,
            receiver.queue.count > queueMessagesMax
        else { return }
        let busy = receiver.outbound.values.filter { !$0.isReleased }.map(\.position)
        guard let oldest = receiver.queue.firstIndex(where: { !busy.contains($0.position) }) else { return }
        receiver.queue.remove(at: oldest)
        receivers[number] = receiver
        dropped[number, default: 0] += 1
    }
}

import BrokerCore
import Foundation
import MQTTCodec
import NIOCore

/// The blob that lists who waits for a message: per receiver its number, one byte of QoS and flags, and the
/// identifiers of the subscriptions that matched. Three bytes or so each.
enum DeliveryList {
    private static let retained: UInt8 = 4
    private static let hasIdentifiers: UInt8 = 8
    private static let hasPriority: UInt8 = 16

    static func write(_ deliveries: some Sequence<Delivery>, to buffer: inout ByteBuffer) {
        for delivery in deliveries {
            buffer.writeVariable(delivery.receiver.number)
            buffer.writeInteger(
                delivery.qos.rawValue
                    | (delivery.isRetained ? retained : 0)
                    | (delivery.subscriptionIdentifiers.isEmpty ? 0 : hasIdentifiers)
                    | (delivery.priority == 0 ? 0 : hasPriority)
            )
            if delivery.priority > 0 { buffer.writeInteger(delivery.priority) }
            guard !delivery.subscriptionIdentifiers.isEmpty else { continue }
            buffer.writeVariable(UInt64(delivery.subscriptionIdentifiers.count))
            for identifier in delivery.subscriptionIdentifiers { buffer.writeVariable(UInt64(identifier)) }
        }
    }

    /// Nil when the bytes are no such list.
    static func read(_ bytes: ByteBuffer) -> [Delivery]? {
        let (deliveries, isSound) = readSound(bytes)
        return isSound ? deliveries : nil
    }

    /// The delivery to one receiver, without building the list.
    static func find(_ receiver: ReceiverID, in bytes: ByteBuffer) -> Delivery? {
        var bytes = bytes
        while let delivery = next(&bytes) {
            if delivery.receiver == receiver { return delivery }
        }
        return nil
    }

    /// The deliveries before the first byte that cannot be read, and whether there is none.
    static func readSound(_ bytes: ByteBuffer) -> (deliveries: [Delivery], isSound: Bool) {
        var bytes = bytes
        var deliveries: [Delivery] = []
        while bytes.readableBytes > 0 {
            guard let delivery = next(&bytes) else { return (deliveries, false) }
            deliveries.append(delivery)
        }
        return (deliveries, true)
    }

    private static func next(_ bytes: inout ByteBuffer) -> Delivery? {
        guard let number = bytes.readVariable(), let flags = bytes.readInteger(as: UInt8.self), flags < 32,
            let qos = QoS(rawValue: flags & 3)
        else { return nil }
        var delivery = Delivery(receiver: ReceiverID(number), qos: qos, isRetained: flags & retained != 0)
        if flags & hasPriority != 0 {
            guard let priority = bytes.readInteger(as: UInt8.self), (1...9).contains(priority) else { return nil }
            delivery.priority = priority
        }
        if flags & hasIdentifiers != 0 {
            guard let count = bytes.readVariable(), count <= UInt64(bytes.readableBytes) else { return nil }
            for _ in 0..<count {
                guard let value = bytes.readVariable(), let identifier = UInt32(exactly: value) else { return nil }
                delivery.subscriptionIdentifiers.append(identifier)
            }
        }
        return delivery
    }
}

/// Reads the lists of row after row. That of a room is the same in each of its rows, and is read once.
struct DeliveryListReader {
    private var last = ByteBuffer()
    private var lastRead: (deliveries: [Delivery], isSound: Bool) = ([], true)

    mutating func read(_ bytes: UnsafeRawBufferPointer) -> (deliveries: [Delivery], isSound: Bool) {
        if !last.holds(bytes) {
            last = ByteBuffer(bytes: bytes)
            lastRead = DeliveryList.readSound(last)
        }
        return lastRead
    }
}

/// Finds one receiver in the lists of row after row, which for a page is the same receiver, and for a room the same
/// list.
struct DeliveryFinder {
    private var last = ByteBuffer()
    private var lastFound: (receiver: ReceiverID, delivery: Delivery?)?

    mutating func find(_ receiver: ReceiverID, in bytes: UnsafeRawBufferPointer) -> Delivery? {
        if let lastFound, lastFound.receiver == receiver, last.holds(bytes) { return lastFound.delivery }
        last = ByteBuffer(bytes: bytes)
        let found = DeliveryList.find(receiver, in: last)
        lastFound = (receiver, found)
        return found
    }
}

extension ByteBuffer {
    fileprivate func holds(_ bytes: UnsafeRawBufferPointer) -> Bool {
        withUnsafeReadableBytes { mine in
            guard mine.count == bytes.count else { return false }
            guard let here = mine.baseAddress, let there = bytes.baseAddress else { return true }
            return memcmp(here, there, mine.count) == 0
        }
    }
}

/// Writes the lists of row after row: that of a room is written once and copied.
struct DeliveryListWriter {
    private var deliveries: [Delivery] = []
    private var bytes = ByteBuffer()

    mutating func write(_ deliveries: [Delivery], to buffer: inout ByteBuffer) {
        // The messages of a room bring the same array, which one look tells.
        if deliveries != self.deliveries {
            self.deliveries = deliveries
            bytes.clear()
            DeliveryList.write(deliveries, to: &bytes)
        }
        buffer.writeImmutableBuffer(bytes)
    }
}

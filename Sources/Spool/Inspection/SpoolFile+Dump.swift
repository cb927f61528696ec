import BrokerCore
import MQTTCodec
import NIOCore

/// A message of the queue as a command shows it: plain values, no types of the core.
package struct DumpedMessage: Sendable {
    package struct Receiver: Sendable {
        package var name: String
        package var kind: ReceiverKind
        /// At which this receiver gets it.
        package var qos: Int
    }

    package var position: UInt64
    /// True when the row's checksum or form is wrong: then nothing else is known but who waits.
    package var isDamaged: Bool
    package var id = ""
    package var topic = ""
    package var qos = 0
    package var isRetained = false
    /// Of the payload.
    package var bytes = 0
    /// Microseconds since 1970.
    package var came: UInt64 = 0
    /// Microseconds since 1970; nil never expires.
    package var expiry: UInt64?
    package var payload: [UInt8] = []
    /// Those that still wait.
    package var receivers: [Receiver]
}

extension SpoolFile {
    /// Shows the queue in the order of positions.
    ///
    /// - Parameters:
    ///   - receiver: only what waits for this client id or link.
    ///   - limit: how many messages at most.
    ///   - includingPayload: payloads are left out otherwise; they may be nobody else's business.
    /// - Returns: how many rows were damaged.
    package func eachMessage(
        for receiver: String?,
        limit: Int,
        includingPayload: Bool,
        _ show: (DumpedMessage) -> Void
    ) throws(SpoolToolError) -> Int {
        try connect(as: .reader) { (connection) throws(SpoolError) in
            try connection.run("BEGIN", while: "reading the queue")
            defer { connection.rollBack() }
            let roll = try ReceiverRoll(connection)
            var rows = try MessageRows(connection)
            var (shown, damaged) = (0, 0)
            while shown < limit, let found = try rows.next() {
                let waiting = roll.waiting(for: found.position, among: found.deliveries)
                if let receiver, !waiting.contains(where: { roll.entries[$0].name == receiver }) { continue }
                var line = DumpedMessage(
                    position: found.position,
                    isDamaged: found.message == nil,
                    receivers: waiting.map { place in
                        let entry = roll.entries[place]
                        let delivery = found.deliveries.first { $0.receiver == entry.receiver }
                        return .init(
                            name: entry.name,
                            kind: entry.kind,
                            qos: Int(delivery?.qos.rawValue ?? 0)
                        )
                    }
                )
                if let message = found.message {
                    line.id = message.id.description
                    line.topic = message.topic.string
                    line.qos = Int(message.qos.rawValue)
                    line.isRetained = message.isRetained
                    line.bytes = message.payload.readableBytes
                    line.came = message.id.high
                    line.expiry = message.expiry?.microseconds
                    if includingPayload { line.payload = Array(message.payload.readableBytesView) }
                } else {
                    damaged += 1
                }
                show(line)
                shown += 1
            }
            return damaged
        }
    }
}

import BrokerCore
import MQTTCodec
import NIOCore

/// What has to become of each will, from what the broker heard: a lost connection publishes it (after its delay), a
/// DISCONNECT or a return within the delay takes it back. Wills of a node that died in between may go either way here.
struct Wills {
    private struct Kept {
        let message: Int
        let node: Int
        let line: Int
        /// Nanoseconds; zero for a session that ends with its connection.
        let delay: UInt64
        var lostAt: UInt64?
    }

    private var kept: [MQTTString: Kept] = [:]
    /// A crash shortly after a will was published may take it back: nobody was promised anything.
    private static let settling: UInt64 = 15_000_000_000

    mutating func connected(_ connect: Connect, node: Int, line: Int, at now: UInt64, _ ledger: inout Ledger) {
        if let old = kept.removeValue(forKey: connect.clientID) {
            let due = (old.lostAt ?? now) + old.delay
            if due > now, !connect.cleanStart {
                // [5:MQTT-3.1.3-9]
                withdraw(old, &ledger)
            } else if old.lostAt == nil || due > now {
                publish(old, at: now, due: now, &ledger)
            }
        }
        guard let will = connect.will, let message = Int(String(buffer: will.payload)) else { return }
        let isDurable =
            connect.version == .v5 ? (connect.properties.sessionExpiryInterval ?? 0) > 0 : !connect.cleanStart
        let delay = isDurable ? UInt64(will.properties.willDelayInterval ?? 0) * 1_000_000_000 : 0
        kept[connect.clientID] = Kept(message: message, node: node, line: line, delay: delay)
    }

    /// [5:MQTT-3.14.4-3] DISCONNECT came.
    mutating func deleted(_ client: MQTTString, line: Int, _ ledger: inout Ledger) {
        guard let old = kept[client], old.line == line else { return }
        kept[client] = nil
        withdraw(old, &ledger)
    }

    mutating func lost(_ client: MQTTString, line: Int, at now: UInt64, _ ledger: inout Ledger) {
        guard let old = kept[client], old.line == line, old.lostAt == nil else { return }
        kept[client]?.lostAt = now
        publish(old, at: now, due: now + old.delay, &ledger)
    }

    mutating func crashed(node: Int, at now: UInt64, _ ledger: inout Ledger) {
        kept = kept.filter { $0.value.node != node }
        for index in ledger.published.indices where ledger.published[index].isWill {
            guard ledger.published[index].node == node else { continue }
            // DISCONNECT has no answer: a withdrawal that was not committed is forgotten with the crash.
            ledger.published[index].isWithdrawn = false
            guard let takenAt = ledger.published[index].takenAt else { continue }
            if takenAt + Self.settling > now { ledger.published[index].takenAt = nil }
        }
    }

    private func publish(_ will: Kept, at now: UInt64, due: UInt64, _ ledger: inout Ledger) {
        ledger.published[will.message].sentAt = now
        ledger.published[will.message].takenAt = due
    }

    private func withdraw(_ will: Kept, _ ledger: inout Ledger) {
        ledger.published[will.message].isWithdrawn = true
        ledger.published[will.message].takenAt = nil
    }
}

package import BrokerCore
import MQTTCodec

/// The lines of a shard's ledger, added up: what was taken for receivers and what became of it.
package struct LedgerBalance {
    private var inMemory: [String: Int] = [:]
    private var stored: [String: Set<Position>] = [:]
    /// Messages that ended without having been taken, or twice.
    package private(set) var mistakes: [String] = []

    package init(_ lines: [LedgerLine]) {
        for line in lines { note(line) }
    }

    /// Everything that was taken has ended, once.
    package var isClosed: Bool {
        mistakes.isEmpty && inMemory.values.allSatisfy { $0 == 0 } && stored.values.allSatisfy(\.isEmpty)
    }

    private mutating func note(_ line: LedgerLine) {
        let receiver = line.receiver.string
        let key = line.message.map { "\(receiver) \($0.id)" }
        switch line.entry {
        case .routed, .replayed: if let key { inMemory[key, default: 0] += 1 }
        case .stored:
            if let key { take(key) }
            stored[receiver, default: []].insert(line.position)
        case .delivered, .expired, .tooLarge, .dropped, .discarded:
            if line.position > .zero {
                guard stored[receiver]?.remove(line.position) != nil else {
                    return mistakes.append("\(line.entry) of \(receiver) at \(line.position.number)")
                }
            } else if let key {
                take(key)
            } else {
                stored[receiver] = nil
            }
        }
    }

    private mutating func take(_ key: String) {
        inMemory[key, default: 0] -= 1
        if inMemory[key, default: 0] < 0 { mistakes.append("too often: \(key)") }
    }
}

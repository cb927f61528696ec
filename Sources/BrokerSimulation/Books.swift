import BrokerCore
import MQTTCodec
import NIOCore

/// The ledger of one node (promise 2): every message that was taken for a receiver is open until a line says how it
/// ended. What was not committed when the node died never was; what only memory held ended with its session.
struct Books {
    /// What happened to one stored message, so that a crash can take it back.
    private enum Step {
        case stored(MQTTString, Position)
        case closed(MQTTString, Position, message: Message, LedgerLine.Entry)
    }

    struct Outcome: Hashable {
        let receiver: MQTTString
        let message: String
        let entry: LedgerLine.Entry
        /// Whether the spool had it, so that "delivered" means acknowledged and not only sent.
        let wasStored: Bool
    }

    private var memory: [MQTTString: [MessageID: Int]] = [:]
    private var stored: [MQTTString: [Position: Message]] = [:]
    /// Positions that a full queue of the spool gave up. The receiver may have them in its window, and settle them.
    private var givenUp: [MQTTString: Set<Position>] = [:]
    private var journal: [(ticket: Ticket, step: Step)] = []
    private(set) var accepted = 0
    private(set) var totals: [LedgerLine.Entry: Int] = [:]
    /// How often each message ended how for each receiver; those that a crash took back are not counted.
    private(set) var outcomes: [Outcome: Int] = [:]
    private(set) var problems: [String] = []

    /// - Parameter ticket: what the records of the line's turn were appended under.
    mutating func note(_ line: LedgerLine, under ticket: Ticket) {
        switch line.entry {
        case .routed, .replayed:
            guard let message = line.message else { return problems.append("a routed message without message") }
            memory[line.receiver, default: [:]][message.id, default: 0] += 1
            accepted += 1
        case .stored:
            guard let message = line.message, takeFromMemory(line.receiver, message) else {
                return problems.append("stored for \(line.receiver), but never routed")
            }
            stored[line.receiver, default: [:]][line.position] = message
            journal.append((ticket, .stored(line.receiver, line.position)))
        case .delivered, .expired, .tooLarge, .dropped, .discarded:
            if line.position > .zero {
                close(line.receiver, line.position, line.entry, ticket)
            } else if let message = line.message {
                guard takeFromMemory(line.receiver, message) else {
                    return problems.append("\(line.entry) twice, or never taken: m\(message.text) for \(line.receiver)")
                }
                count(line.receiver, message, line.entry, 1, wasStored: false)
            } else {
                for position in (stored[line.receiver] ?? [:]).keys.sorted() {
                    close(line.receiver, position, line.entry, ticket)
                }
            }
        }
    }

    private mutating func takeFromMemory(_ receiver: MQTTString, _ message: Message) -> Bool {
        guard let open = memory[receiver]?[message.id] else { return false }
        memory[receiver]?[message.id] = open > 1 ? open - 1 : nil
        return true
    }

    private mutating func close(
        _ receiver: MQTTString, _ position: Position, _ entry: LedgerLine.Entry, _ ticket: Ticket
    ) {
        guard let message = stored[receiver]?.removeValue(forKey: position) else {
            // Settled by who already had it in its window when the queue gave it up: counted as given up.
            guard givenUp[receiver]?.contains(position) == true else {
                return problems.append("\(entry) twice, or never taken: position \(position.number) for \(receiver)")
            }
            return
        }
        count(receiver, message, entry, 1)
        journal.append((ticket, .closed(receiver, position, message: message, entry)))
    }

    private mutating func count(
        _ receiver: MQTTString,
        _ message: Message,
        _ entry: LedgerLine.Entry,
        _ number: Int,
        wasStored: Bool = true
    ) {
        totals[entry, default: 0] += number
        let outcome = Outcome(receiver: receiver, message: message.text, entry: entry, wasStored: wasStored)
        outcomes[outcome, default: 0] += number
    }

    // MARK: - The disk

    mutating func committed(_ ticket: Ticket) {
        // Tickets only grow.
        journal.removeFirst(journal.firstIndex { $0.ticket > ticket } ?? journal.count)
    }

    /// The queue of a receiver was full: its oldest message went.
    mutating func gaveUp(_ receiver: MQTTString, _ position: Position) {
        givenUp[receiver, default: []].insert(position)
        guard let message = stored[receiver]?.removeValue(forKey: position) else { return }
        count(receiver, message, .dropped, 1)
    }

    /// The process died: what was committed counts, and nothing else.
    mutating func crash() {
        for (_, step) in journal.reversed() {
            switch step {
            case .stored(let receiver, let position):
                if stored[receiver]?.removeValue(forKey: position) != nil { accepted -= 1 }
            case .closed(let receiver, let position, let message, let entry):
                count(receiver, message, entry, -1)
                if givenUp[receiver]?.contains(position) == true {
                    count(receiver, message, .dropped, 1)
                } else {
                    stored[receiver, default: [:]][position] = message
                }
            }
        }
        journal.removeAll()
        for open in memory.values { totals[.discarded, default: 0] += open.values.reduce(0, +) }
        memory.removeAll()
    }

    // MARK: - Judging

    /// What is open has to be what the spool holds, to the message; and the sum of promise 2 has to close.
    ///
    /// - Parameter isQuiet: whether memory may hold nothing more.
    func differences(from store: SpoolStore, node: Int, isQuiet: Bool) -> [String] {
        var differences = problems
        var waiting: [MQTTString: Set<Position>] = [:]
        for queue in store.queues.values {
            waiting[queue.receiverName(node: node), default: []].formUnion(queue.entries.map(\.position))
        }
        for receiver in Set(waiting.keys).union(stored.keys).sorted() {
            let booked = Set(stored[receiver]?.keys.map(\.self) ?? [])
            let held = waiting[receiver] ?? []
            for position in booked.subtracting(held).sorted() {
                differences.append("open for \(receiver) at \(position.number), but the spool has it no more")
            }
            for position in held.subtracting(booked).sorted() {
                differences.append("the spool holds \(position.number) for \(receiver), but the books closed it")
            }
        }
        let inMemory = memory.values.reduce(0) { $0 + $1.values.reduce(0, +) }
        if isQuiet, inMemory > 0 {
            for (receiver, open) in memory.sorted(by: { $0.key < $1.key }) where !open.isEmpty {
                differences.append("\(open.values.reduce(0, +)) messages for \(receiver) never ended")
            }
        }
        let inSpool = stored.values.reduce(0) { $0 + $1.count }
        let ended = totals.values.reduce(0, +)
        if accepted != ended + inMemory + inSpool {
            differences.append("accepted \(accepted), ended \(ended), waiting \(inMemory + inSpool)")
        }
        return differences
    }
}

extension Message {
    /// The number that every message of the simulation carries.
    var text: String { String(buffer: payload) }
}

extension SpoolStore.Queue {
    /// As the shard calls the receiver.
    func receiverName(node: Int) -> MQTTString { record.receiverName(node: node) }
}

extension ReceiverRecord {
    func receiverName(node: Int) -> MQTTString {
        switch kind {
        case .session(let clientID): clientID
        case .link: MQTTString("link-\(node)")
        case .group(let filter): filter
        }
    }
}

import BrokerCore
import MQTTCodec
import Spool

/// A queue that leaves on a stick.
///
/// For each part the order is: in the file and on its disk; then out of the queue, together with the note of how far the
/// file has come; and when all are, the seal. Whatever dies in between, a message is in the queue, or the spool knows that
/// it is in the file. The same command goes on where the last one ended.
extension LinkQueueDesk {
    func export(_ order: LinkQueueOrder) async throws -> LinkQueueStep {
        let wanted = try wanted(order)
        let target = try file(of: order)
        return try await alone(with: order.link) {
            var (journal, isContinued) = try await begin(target, order)
            guard order.after == nil || isContinued != .complete else { return LinkQueueStep() }
            var step = try await writePart(of: wanted, into: target, &journal, order)
            if step.next == nil {
                let sealed = journal
                try await blocking { try target.seal(sealed) }
            }
            step.messagesSoFar = Int(clamping: journal.messages)
            step.isContinued = order.after == nil ? isContinued == .begun : nil
            return step
        }
    }

    func file(of order: LinkQueueOrder) throws -> BacklogFile {
        guard let path = order.file else { throw Refusal.badOrder("The body names no file.") }
        do throws(BacklogError) {
            return try BacklogFile(path)
        } catch {
            throw Refusal.file(error)
        }
    }

    private enum Beginning { case new, begun, complete }

    /// Makes the file, or finds where it goes on.
    private func begin(_ target: BacklogFile, _ order: LinkQueueOrder) async throws -> (CarriedFile, Beginning) {
        let isCopy = order.isCopy ?? false
        guard let content = try await blocking({ try target.content() }) else {
            let id = MessageID(high: .random(in: 1 ... .max), low: .random(in: 0 ... .max))
            let header = BacklogHeader(
                id: id, node: node, nodeName: name, link: order.link, made: now(), isCopy: isCopy)
            let journal = CarriedFile(
                id: id, way: .out, link: MQTTString(order.link), offset: BacklogFile.begin)
            // The file is worth nothing before the spool knows of it, and the link must be there.
            _ = try await errand(.look(journal.link), link: order.link)
            try await blocking { try target.create(header) }
            _ = try await errand(.note(journal), link: order.link)
            return (journal, .new)
        }
        let header = content.header
        guard content.seal == nil else {
            if order.after != nil { return (CarriedFile(id: header.id, way: .out, link: ""), .complete) }
            throw Refusal.file(.exists(path: target.path))
        }
        guard header.node == node, header.link == order.link, header.isCopy == isCopy else {
            throw Refusal.file(.ofAnother(path: target.path, node: header.nodeName, link: header.link))
        }
        let spool = spool
        guard var journal = try await blocking({ try spool.carried(header.id, .out) }) else {
            // Nothing can have left its queue for a file that the spool never heard of.
            guard content.isEmpty else { throw Refusal.file(.forgotten(path: target.path)) }
            let journal = CarriedFile(
                id: header.id, way: .out, link: MQTTString(order.link), offset: BacklogFile.begin)
            _ = try await errand(.note(journal), link: order.link)
            return (journal, .begun)
        }
        if isCopy, order.after == nil {
            // All of it is still in the queue: the copy begins anew.
            (journal.parts, journal.messages, journal.offset) = (0, 0, BacklogFile.begin)
        }
        return (journal, order.after == nil ? .begun : .new)
    }

    private func writePart(
        of wanted: Wanted,
        into target: BacklogFile,
        _ journal: inout CarriedFile,
        _ order: LinkQueueOrder
    ) async throws -> LinkQueueStep {
        let before = journal
        let (step, after) = try await holding(order.link) { standing in
            let (part, inFlight) = try await read(wanted, order, standing)
            var step = LinkQueueStep(inFlight: inFlight, damaged: part.damaged)
            step.next = part.next?.number
            guard !part.entries.isEmpty else { return (step, before) }
            let messages = part.entries.map { CarriedMessage(message: $0.message, delivery: $0.delivery) }
            step.messages = messages.count
            step.bytes = messages.reduce(0) { $0 + $1.message.bytes }
            var after = before
            after.parts += 1
            after.messages += UInt64(messages.count)
            after.offset = try await blocking { try target.append(messages, as: before.parts, at: before.offset) }
            if order.isCopy == true {
                _ = try await errand(.note(after), link: order.link)
            } else {
                let positions = part.entries.map(\.position)
                _ = try await errand(.remove(positions, from: after.link, .exported, to: after), link: order.link)
            }
            return (step, after)
        }
        journal = after
        return step
    }

    private func read(
        _ wanted: Wanted,
        _ order: LinkQueueOrder,
        _ standing: LinkQueueStanding
    ) async throws -> (part: QueuePart, inFlight: Int) {
        let spool = spool
        return try await blocking {
            var inFlight = 0
            let part = try spool.queue(
                of: standing.receiver,
                after: Position(order.after ?? 0),
                rowsMax: Self.rowsMax,
                entriesMax: Self.messagesMax,
                bytesMax: Self.bytesMax
            ) { position, message in
                guard wanted.takes(message) else { return false }
                guard !standing.inFlight.contains(position) else {
                    inFlight += 1
                    return false
                }
                return true
            }
            return (part, inFlight)
        }
    }
}

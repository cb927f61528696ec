import BrokerCore
import MQTTCodec
import Spool

/// A queue that comes in on a stick: the messages of a part enter the queue together with the note of how far the file
/// has come, so that each enters once, however often the file is taken in and whatever dies meanwhile.
extension LinkQueueDesk {
    func takeIn(_ order: LinkQueueOrder) async throws -> LinkQueueStep {
        let source = try file(of: order)
        return try await alone(with: order.link) {
            let standing = try await errand(.look(MQTTString(order.link)), link: order.link)
            guard standing.isConfigured else { throw Refusal.noLink(order.link) }
            let (content, seal) = try await complete(source, order)
            let (spool, header) = (spool, content.header)
            var step = LinkQueueStep()
            let known = try await blocking { try spool.carried(header.id, .into) }
            if known == nil { step.isUnclaimed = try await claim(source, content) ? nil : true }
            var journal =
                known
                ?? CarriedFile(id: header.id, way: .into, link: MQTTString(order.link), offset: BacklogFile.begin)
            guard journal.link.string == order.link else {
                throw Refusal.badOrder("\(source.path) is being taken in for link \(journal.link) already.")
            }
            step.messagesInFile = Int(clamping: seal.messages)
            if journal.parts >= seal.parts {
                step.wasTakenIn = order.after == nil && known != nil
                step.messagesSoFar = Int(clamping: journal.messages)
                return step
            }
            try await takePart(of: source, &journal, standing, order, &step)
            step.messagesSoFar = Int(clamping: journal.messages)
            step.next = journal.parts < seal.parts ? journal.parts : nil
            return step
        }
    }

    private func complete(
        _ source: BacklogFile,
        _ order: LinkQueueOrder
    ) async throws -> (BacklogFile.Content, BacklogSeal) {
        guard let content = try await blocking({ try source.content() }) else {
            throw Refusal.file(.file(path: source.path, reason: "there is no such file"))
        }
        guard let seal = content.seal else {
            throw Refusal.file(.unfinished(path: source.path, node: content.header.nodeName))
        }
        if content.header.isCopy, order.isCopy != true { throw Refusal.file(.copy(path: source.path)) }
        return (content, seal)
    }

    /// Notes in the file that it is taken in here, so that another node does not do it again.
    ///
    /// - Returns: false when it cannot be written to.
    private func claim(_ source: BacklogFile, _ content: BacklogFile.Content) async throws -> Bool {
        if let claim = content.claim {
            guard claim == node else {
                throw Refusal.file(.taken(path: source.path, node: String(claim, radix: 16)))
            }
            return true
        }
        let node = node
        return try await blocking { try source.claim(for: node) }
    }

    private func takePart(
        of source: BacklogFile,
        _ journal: inout CarriedFile,
        _ standing: LinkQueueStanding,
        _ order: LinkQueueOrder,
        _ step: inout LinkQueueStep
    ) async throws {
        let before = journal
        let part = try await blocking { try source.part(before.parts, at: before.offset) }
        if part.damaged > 0, order.skipsDamaged != true {
            throw Refusal.file(.damaged(path: source.path, part: before.parts))
        }
        let bytes = part.messages.reduce(0) { $0 + $1.message.bytes }
        try checkRoom(for: part.messages.count, bytes, standing)
        journal.parts += 1
        journal.messages += UInt64(part.messages.count)
        journal.offset = part.next
        _ = try await errand(.enqueue(part.messages, journal), link: order.link)
        step.messages = part.messages.count
        step.bytes = bytes
        step.damaged = part.damaged
        step.unnamed = part.messages.count { standing.settings.outName(of: $0.message) == nil }
    }

    /// What a file holds was accepted from somebody: it never makes other messages go, nor goes for them.
    func checkRoom(for messages: Int, _ bytes: Int, _ standing: LinkQueueStanding) throws {
        if let refusal = spool.refusal { throw Refusal.noRoom("The spool takes nothing more: \(refusal.rawValue).") }
        let bounds = spool.bounds(ofLink: standing.settings.name)
        let tally = spool.tally(of: standing.receiver)
        guard tally.waiting + messages <= bounds.messagesMax, tally.bytes + bytes <= bounds.bytesMax else {
            throw Refusal.noRoom(
                "The queue of the link has no room for the next \(messages) messages; those that are not in it yet stay where they are."
            )
        }
    }
}

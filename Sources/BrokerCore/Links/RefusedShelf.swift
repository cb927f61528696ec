package import MQTTCodec

/// Where messages of a link are kept that its upstream refused: a queue beside that of the link, which leads nowhere.
///
/// It is the queue of a link that nobody configures, with a name that none can have, so that it is bounded, stored, shown
/// and handled as any other.
package enum RefusedShelf {
    private static let suffix = "/refused"

    package static func name(of link: MQTTString) -> MQTTString { MQTTString(link.string + suffix) }

    /// The link that a shelf belongs to; nil for what is no shelf.
    static func link(of name: MQTTString) -> MQTTString? {
        let text = name.string
        return text.hasSuffix(suffix) ? MQTTString(String(text.dropLast(suffix.utf8.count))) : nil
    }
}

/// What an upstream answers with a failure, closes the line over, or has no packets large enough for is given up and
/// counted. With `keep_refused` it is put aside as well, with the record that gives it up.
extension Shard {
    /// Whether a queue is a shelf of a link that is configured.
    func isShelf(_ name: MQTTString) -> Bool {
        guard let link = RefusedShelf.link(of: name) else { return false }
        return settings.links.contains { $0.name == link }
    }

    /// A message is about to be sent to an upstream. There are never more of them than fit its window.
    func leaves(_ message: Message, _ delivery: Delivery, _ position: Position, over link: Link) {
        guard link.settings.keptRefusedMax > 0 else { return }
        link.underWay[position] = CarriedMessage(message: message, delivery: delivery)
    }

    /// The fate of a message is known.
    func settled(_ position: Position, over link: Link, givenUp: GivenUpReason?) {
        guard !link.underWay.isEmpty, let carried = link.underWay.removeValue(forKey: position) else { return }
        switch givenUp {
        case .rejected, .tooLarge: putAside(carried, of: link)
        case .expired, .denied, .vanished, .ended, nil: break
        }
    }

    private func putAside(_ carried: CarriedMessage, of link: Link) {
        let name = RefusedShelf.name(of: link.settings.name)
        let shelf: Link
        if let known = sleepingLinks[name] {
            shelf = known
        } else {
            shelf = makeLink(LinkSettings(name: name, clientID: ""), nil, .zero)
            sleepingLinks[name] = shelf
        }
        keep(carried, in: shelf)
    }
}

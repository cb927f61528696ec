/// What travels with a message between Drawbridges, as a user property of MQTT 5: who it is, how far it came, and by
/// which stream.
///
///     drawbridge: id=0006440be1a2c3d43fa2c0ffee120001;hops=2;stream=3fa2c0ffee12.7
///
/// A PUBLISH has it apart from its other properties: over a link nearly every message has one, and nothing else. It is
/// believed from peers that are marked as links only, and nobody else sees it.
package struct LinkMark: Sendable, Hashable {
    /// The name of the user property. Whoever is no link and sends one loses it.
    package static let name: MQTTString = "drawbridge"

    /// The name that the message got at the node that it was published to. Its low bits say which that was.
    package var id: MessageID
    /// Links that it crossed, the one that it came over included; 1 to 255.
    package var hops: UInt8
    /// The queue that it left its last node by; nil for QoS 0, which is never sent again.
    package var stream: StreamID?

    package init(id: MessageID, hops: UInt8, stream: StreamID? = nil) {
        self.id = id
        self.hops = hops
        self.stream = stream
    }

    /// The most bytes that a mark adds to a PUBLISH: name and value with their lengths, and the property's identifier.
    package static let bytesMax = 5 + 10 + textBytesMax
    static let textBytesMax = 3 + 32 + 6 + 3 + 8 + 16 + 1 + 16
}

/// The queue of one receiver at one node, as its peer knows it.
package struct StreamID: Sendable, Hashable, CustomStringConvertible {
    /// The number of the node, 48 bits.
    package var node: UInt64
    /// The number of the receiver there.
    package var receiver: UInt64

    package init(node: UInt64, receiver: UInt64) {
        self.node = node
        self.receiver = receiver
    }

    package var description: String { "\(String(node, radix: 16)).\(String(receiver, radix: 16))" }
}

extension Properties {
    /// Without the mark that somebody put on who is no link.
    package var unmarked: Properties {
        var properties = self
        _ = properties.takeMark()
        return properties
    }

    /// Takes the mark off, whether anybody believes it or not.
    ///
    /// - Complexity: O(user properties); a message without any costs a look.
    mutating func takeMark() -> LinkMark? {
        guard !isEmpty, userProperties.contains(where: { $0.name == LinkMark.name }) else { return nil }
        var values = values
        let marks = values.userProperties.lazy.filter { $0.name == LinkMark.name }
        let mark = marks.compactMap { LinkMark($0.value.string) }.first
        values.userProperties.removeAll { $0.name == LinkMark.name }
        self.values = values
        return mark
    }

    /// With a mark as the last of the user properties.
    package func marked(_ mark: LinkMark?) -> Properties {
        guard let mark else { return self }
        var properties = self
        properties.userProperties.append(UserProperty(LinkMark.name, MQTTString(mark.text)))
        return properties
    }
}

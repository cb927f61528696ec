package import MQTTCodec

/// The name of a topic on the other side of a link: text with places for what the filter of the rule captured.
///
/// Taken apart once, when the configuration is read; a message costs one walk over its pieces and one string.
package struct TopicTemplate: Sendable, Equatable {
    package enum Piece: Sendable, Equatable {
        case text(MQTTString)
        /// `{topic}`: the topic, without the prefix that the rule strips.
        case topic
        /// `{1}` to `{9}`: what the first to ninth `+` of the filter matched.
        case level(Int)
        /// `{#}`: what `#` matched. Where that is nothing, since `a/#` matches `a` as well, the slash before it goes too.
        case tail
        /// `{clientid}`: who published the message.
        case clientID
    }

    package let pieces: [Piece]
    /// Whether the name depends on more than the topic.
    package let usesClientID: Bool

    /// `{topic}`, the default.
    package static let same = TopicTemplate([.topic])

    package init(_ pieces: [Piece]) {
        self.pieces = pieces
        usesClientID = pieces.contains(.clientID)
    }

    /// `prefix{topic}suffix`.
    package init(prefix: MQTTString, suffix: MQTTString = "") {
        var pieces: [Piece] = []
        if !prefix.isEmpty { pieces.append(.text(prefix)) }
        pieces.append(.topic)
        if !suffix.isEmpty { pieces.append(.text(suffix)) }
        self.init(pieces)
    }

    /// The name on the other side.
    ///
    /// - Parameters:
    ///   - stripped: bytes at the front of `topic` that `{topic}` leaves out.
    ///   - clientID: the publisher; nil where there is none.
    /// - Throws: why there is none that a topic may have.
    /// - Complexity: O(bytes), one string; none where the name stays as it is.
    func name(
        of topic: MQTTString,
        stripped: Int,
        _ captures: FilterCaptures,
        clientID: MQTTString?
    ) throws(NameObstacle) -> MQTTString {
        if stripped == 0, pieces.count == 1, pieces[0] == .topic { return topic }
        let count = try count(topic.count - stripped, captures, clientID)
        if count == 0 { throw .empty }
        if count > CodecLimits.fieldBytesMax { throw .tooLong }
        let name = unsafe topic.withBytes { topic in
            // One byte more for a slash that goes again as soon as it is written.
            let text = unsafe String(unsafeUninitializedCapacity: count + 1) { target in
                unsafe write(to: UnsafeMutableRawBufferPointer(target), topic, stripped, captures, clientID)
                return count
            }
            return MQTTString(text)
        }
        if !TopicName.isValid(name) { throw .invalid(name) }
        return name
    }

    /// Bytes of the name.
    private func count(
        _ topicBytes: Int,
        _ captures: FilterCaptures,
        _ clientID: MQTTString?
    ) throws(NameObstacle) -> Int {
        var count = 0
        for (index, piece) in pieces.enumerated() {
            switch piece {
            case .text(let text): count += text.count
            case .topic: count += topicBytes
            case .level(let number): count += captures.level(number).count
            case .tail:
                if let tail = captures.tail {
                    count += tail.count
                } else {
                    guard endsInSlash(before: index) else { throw .noTail }
                    count -= 1
                }
            case .clientID:
                guard let clientID, !clientID.isEmpty else { throw .noPublisher }
                // It may hold what would make it several levels, or a wildcard.
                guard clientID.isLevel else { throw .publisherIsNoLevel }
                count += clientID.count
            }
        }
        return count
    }

    private func write(
        to target: UnsafeMutableRawBufferPointer,
        _ topic: UnsafeRawBufferPointer,
        _ stripped: Int,
        _ captures: FilterCaptures,
        _ clientID: MQTTString?
    ) {
        var end = 0
        func append(_ bytes: UnsafeRawBufferPointer) {
            guard bytes.count > 0 else { return }
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[end...]).copyMemory(from: bytes)
            end += bytes.count
        }
        for piece in pieces {
            switch piece {
            case .text(let text): unsafe text.withBytes { unsafe append($0) }
            case .topic: unsafe append(UnsafeRawBufferPointer(rebasing: topic[stripped...]))
            case .level(let number):
                unsafe append(UnsafeRawBufferPointer(rebasing: topic[captures.level(number)]))
            case .tail:
                if let tail = captures.tail {
                    unsafe append(UnsafeRawBufferPointer(rebasing: topic[tail]))
                } else {
                    end -= 1
                }
            case .clientID: unsafe clientID?.withBytes { unsafe append($0) }
            }
        }
    }

    /// Whether the piece before one is text that ends in a slash.
    func endsInSlash(before index: Int) -> Bool {
        guard index > 0, case .text(let text) = pieces[index - 1] else { return false }
        return text.utf8.last == UInt8(ascii: "/")
    }
}

/// Why a topic has no name on the other side by a rule that is meant for it.
package enum NameObstacle: Error, Equatable {
    /// `{#}` where `#` matched nothing, and no slash before it that could go as well.
    case noTail
    /// `{clientid}` of what nobody published who has one.
    case noPublisher
    /// `{clientid}` that holds `/`, `+` or `#`.
    case publisherIsNoLevel
    case empty
    /// Above 65,535 bytes.
    case tooLong
    /// It has too many levels, or what no topic may hold.
    case invalid(MQTTString)
}

extension NameObstacle: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noTail: "`#` matched nothing of it, and `to` has no `/` before {#}"
        case .noPublisher: "{clientid}: its publisher has none"
        case .publisherIsNoLevel: "{clientid}: that of its publisher holds `/`, `+` or `#`"
        case .empty: "nothing would be left of it"
        case .tooLong: "its name there would be above 65,535 bytes"
        case .invalid(let name): "\"\(name)\" is no name of a topic"
        }
    }
}

extension MQTTString {
    /// Whether it may stand for one level of a topic.
    fileprivate var isLevel: Bool {
        !utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
    }
}

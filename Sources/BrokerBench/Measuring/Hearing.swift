/// What one subscriber makes of the messages that come: which publishers it hears, and what is wrong with what it hears.
final class Hearing {
    /// Whom a subscriber may hear.
    enum Audible {
        /// Publishers of this run, each message once.
        case publishers(Range<Int>)
        /// The same, but every member of a group hears a part; the group is verified as one.
        case group(ShareGroup)
        /// Whoever sends stamped messages: their publishers are somewhere else.
        case anyone
    }

    /// What a payload was.
    enum Finding {
        /// `publisher` is nil for publishers that are somewhere else.
        case message(publisher: Int?, settles: UInt64, sequence: UInt64, intended: UInt64?, isLate: Bool)
        case duplicate
        /// Not of this run, not for this subscriber, or damaged.
        case corrupted
        /// Somebody else's message, where anyone may send.
        case foreign
    }

    /// Publishers elsewhere that are told apart; messages of further ones are counted and not verified.
    private static let strangersMax = 65_536

    private let audible: Audible
    private let run: UInt32
    private let size: Int
    // Touched for every message, on one loop, and never while it is touched already.
    @exclusivity(unchecked) private var verifier: StreamVerifier
    /// Order among what a member of a group hears itself.
    private var lastHeard: [UInt64] = []
    private var strangers: [UInt64: Int] = [:]
    private var lastStranger: (key: UInt64, stream: Int)?

    /// - Parameters:
    ///   - run: of this process's publishers.
    ///   - size: bytes of their payloads.
    init(_ audible: Audible, run: UInt32, size: Int) {
        self.audible = audible
        self.run = run
        self.size = size
        switch audible {
        case .publishers(let range): verifier = StreamVerifier(streams: range.count)
        case .group(let group):
            verifier = StreamVerifier(streams: 0)
            lastHeard = Array(repeating: 0, count: group.publishers)
        case .anyone: verifier = StreamVerifier(streams: 0)
        }
    }

    func hear(_ payload: UnsafeRawBufferPointer) -> Finding {
        let stamp = MessageStamp(of: payload)
        switch audible {
        case .publishers(let range):
            guard let stamp, isOurs(stamp, payload), range.contains(Int(stamp.publisher)) else { return .corrupted }
            let stream = Int(stamp.publisher)
            return finding(verifier.received(stamp.sequence, of: stream - range.lowerBound), stamp, publisher: stream)
        case .group(let group):
            guard let stamp, isOurs(stamp, payload), Int(stamp.publisher) < group.publishers else { return .corrupted }
            return hear(stamp, in: group)
        case .anyone:
            guard let stamp else { return .foreign }
            return hear(stranger: stamp)
        }
    }

    /// Messages that never came.
    ///
    /// - Parameter sent: by each publisher of this run.
    func lost(sent: [UInt64]) -> UInt64 {
        switch audible {
        case .publishers(let range):
            range.reduce(0) { sum, publisher in
                // The publishers of `idle` come last, or never.
                let count = sent.indices.contains(publisher) ? sent[publisher] : 0
                return sum.addingSaturated(verifier.lost(of: publisher - range.lowerBound, sent: count))
            }
        case .group: 0
        case .anyone: verifier.missing
        }
    }

    private func isOurs(_ stamp: MessageStamp, _ payload: UnsafeRawBufferPointer) -> Bool {
        stamp.run == run && payload.count == size
    }

    private func finding(_ verdict: StreamVerifier.Verdict, _ stamp: MessageStamp, publisher: Int?) -> Finding {
        switch verdict {
        case .inOrder: message(stamp, publisher, settles: 1)
        case .ahead(let skipped): message(stamp, publisher, settles: skipped.addingSaturated(1))
        // Its place in the publisher's window was given back when it was skipped.
        case .late: message(stamp, publisher, settles: 0, isLate: true)
        case .duplicate: .duplicate
        }
    }

    private func message(_ stamp: MessageStamp, _ publisher: Int?, settles: UInt64, isLate: Bool = false) -> Finding {
        .message(
            publisher: publisher,
            settles: settles,
            sequence: stamp.sequence,
            intended: stamp.intended,
            isLate: isLate
        )
    }

    private func hear(_ stamp: MessageStamp, in group: ShareGroup) -> Finding {
        let publisher = Int(stamp.publisher)
        guard group.isFirst(stamp.sequence, of: publisher) else { return .duplicate }
        let isLate = stamp.sequence < lastHeard[publisher]
        if !isLate { lastHeard[publisher] = stamp.sequence.addingSaturated(1) }
        return message(stamp, publisher, settles: 1, isLate: isLate)
    }

    private func hear(stranger stamp: MessageStamp) -> Finding {
        let key = UInt64(stamp.run) << 32 | UInt64(stamp.publisher)
        // The monotonic clock is one for all processes of a machine, from boot to boot.
        let intended = stamp.run >> 16 == run >> 16 ? stamp.intended : nil
        let stream: Int
        if let lastStranger, lastStranger.key == key {
            stream = lastStranger.stream
        } else if let known = strangers[key] {
            stream = known
        } else if strangers.count < Self.strangersMax {
            stream = verifier.add(first: stamp.sequence)
            strangers[key] = stream
        } else {
            return .foreign
        }
        lastStranger = (key, stream)
        switch finding(verifier.received(stamp.sequence, of: stream), stamp, publisher: nil) {
        case .message(_, let settles, let sequence, _, let isLate):
            return .message(
                publisher: nil,
                settles: settles,
                sequence: sequence,
                intended: intended,
                isLate: isLate
            )
        case let other: return other
        }
    }
}

/// What the members of a shared subscription have heard together. They live on one loop.
final class ShareGroup {
    let publishers: Int
    private var verifier: StreamVerifier

    init(publishers: Int) {
        self.publishers = publishers
        verifier = StreamVerifier(streams: publishers)
    }

    /// Whether no member has heard it yet. Order among members is nobody's promise.
    func isFirst(_ sequence: UInt64, of publisher: Int) -> Bool {
        verifier.received(sequence, of: publisher) != .duplicate
    }

    func lost(sent: [UInt64]) -> UInt64 {
        sent.indices.reduce(0) { $0.addingSaturated(verifier.lost(of: $1, sent: sent[$1])) }
    }
}

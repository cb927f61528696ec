/// The outbound packet identifiers in use: messages that were sent, or will be after a commit, and are not settled
/// (§4.4, §4.6). A table indexed by the low bits of the identifier: identifiers grow by one, so that lookup, insert
/// and removal are an index each, without hashing.
package struct PacketWindow {
    package enum State: UInt8, Sendable {
        /// PUBLISH of QoS 1, waits for PUBACK.
        case published1
        /// PUBLISH of QoS 2 that waits for the commit of its identifier and was never sent.
        case uncommitted2
        /// PUBLISH of QoS 2, waits for PUBREC.
        case published2
        /// PUBREC came; PUBREL is sent or will be after the commit; waits for PUBCOMP.
        case released2
    }

    package struct Entry: Sendable {
        /// 0 marks a free place.
        package var packetID: UInt16 = 0
        package var state: State = .published1
        /// The connection over which this was sent is gone; it has to be sent again.
        package var needsResend = false
        /// Slot of the share group in whose queue the message stands; -1 for the receiver's own.
        package var share: Int32 = -1
        /// Zero for a receiver that is not durable.
        package var position: Position = .zero
        /// What the PUBLISH of `uncommitted2` and the PUBREL of `released2` wait for.
        package var ticket: Ticket = .none

        package init(
            packetID: UInt16 = 0,
            state: State = .published1,
            needsResend: Bool = false,
            share: Int32 = -1,
            position: Position = .zero,
            ticket: Ticket = .none
        ) {
            self.packetID = packetID
            self.state = state
            self.needsResend = needsResend
            self.share = share
            self.position = position
            self.ticket = ticket
        }
    }

    private var places: [Entry] = []
    /// Identifiers of requests that wait for their answer: of a SUBSCRIBE and an UNSUBSCRIBE at most, and of exchanges of
    /// another time that are being released.
    private var requests: [UInt16] = []
    private var nextID: UInt16
    package private(set) var count = 0
    /// Entries that wait to be sent again; they do not count against the peer's Receive Maximum until they are.
    package private(set) var resendCount = 0

    /// - Parameter firstID: where identifiers start. Random after a restart, so that a late acknowledgement of the time
    ///   before meets an unused one.
    package init(firstID: UInt16) { nextID = max(1, firstID) }

    /// Takes a free identifier [5:MQTT-2.2.1-4] [311:MQTT-2.3.1-4].
    ///
    /// - Returns: nil when all 65,535 are in use.
    /// - Complexity: O(1) amortised.
    package mutating func add(
        _ state: State,
        position: Position,
        ticket: Ticket = .none,
        share: Int32 = -1
    ) -> UInt16? {
        guard count + requests.count < 65_535 else { return nil }
        if count >= places.count { grow() }
        while true {
            let id = nextID
            nextID = id == .max ? 1 : id + 1
            if places[Int(id) & (places.count - 1)].packetID == 0, !requests.contains(id) {
                let entry = Entry(packetID: id, state: state, share: share, position: position, ticket: ticket)
                places[Int(id) & (places.count - 1)] = entry
                count += 1
                return id
            }
            // Identifier 0 does not exist, so one place of a full table of 65,536 stays free. In a smaller table another
            // identifier than that of a request leads to the same place.
        }
    }

    /// Takes a free identifier for a request that is no message: it has no place and counts against no Receive Maximum.
    ///
    /// - Returns: nil when all 65,535 are in use.
    package mutating func addRequest() -> UInt16? {
        guard count + requests.count < 65_535 else { return nil }
        while true {
            let id = nextID
            nextID = id == .max ? 1 : id + 1
            // [5:MQTT-2.2.1-3] [311:MQTT-2.3.1-2]
            if self[id] == nil, !requests.contains(id) {
                requests.append(id)
                return id
            }
        }
    }

    /// Keeps an identifier that is not in use from being given to a message.
    ///
    /// - Returns: false when it is in use.
    package mutating func reserve(_ id: UInt16) -> Bool {
        guard id != 0, self[id] == nil, !requests.contains(id) else { return false }
        requests.append(id)
        return true
    }

    package mutating func removeRequest(_ id: UInt16) { requests.removeAll { $0 == id } }

    /// Puts back an exchange that the spool remembers. Ignored when the identifier is already there.
    package mutating func restore(_ entry: Entry) {
        guard entry.packetID != 0, self[entry.packetID] == nil else { return }
        if places.isEmpty { grow() }
        while places[Int(entry.packetID) & (places.count - 1)].packetID != 0 { grow() }
        places[Int(entry.packetID) & (places.count - 1)] = entry
        count += 1
        if entry.needsResend { resendCount += 1 }
    }

    /// The entry of an identifier, or nil when it is not in use.
    package subscript(id: UInt16) -> Entry? {
        guard id != 0, !places.isEmpty else { return nil }
        let entry = places[Int(id) & (places.count - 1)]
        return entry.packetID == id ? entry : nil
    }

    /// Replaces the entry with the same identifier; does nothing when it is not in use.
    package mutating func update(_ entry: Entry) {
        guard let old = self[entry.packetID] else { return }
        if old.needsResend { resendCount -= 1 }
        if entry.needsResend { resendCount += 1 }
        places[Int(entry.packetID) & (places.count - 1)] = entry
    }

    package mutating func remove(_ id: UInt16) {
        guard let old = self[id] else { return }
        if old.needsResend { resendCount -= 1 }
        places[Int(id) & (places.count - 1)] = Entry()
        count -= 1
    }

    /// The entry that waits to be sent again for this position. O(n): only asked while a session resumes.
    package func resend(at position: Position) -> Entry? {
        resendCount == 0
            ? nil : places.first { $0.packetID != 0 && $0.needsResend && $0.share < 0 && $0.position == position }
    }

    /// All entries, in the order in which their identifiers were given as far as positions tell; released ones first
    /// by identifier. O(n log n): for resuming only.
    package var all: [Entry] {
        places.filter { $0.packetID != 0 }.sorted {
            $0.position == $1.position ? $0.packetID < $1.packetID : $0.position < $1.position
        }
    }

    /// What is held for share groups, in the order of positions. O(n): for comings and goings only.
    var shared: [Entry] {
        places.filter { $0.packetID != 0 && $0.share >= 0 }.sorted { $0.position < $1.position }
    }

    /// Messages that are, or are about to be, on their way over this connection and whose PUBLISH was not answered.
    var publishedCount: Int {
        places.count { $0.packetID != 0 && !$0.needsResend && $0.state != .released2 }
    }

    /// The connection is gone: all has to be sent again when the client returns [5:MQTT-4.4.0-1].
    package mutating func markAllForResend() {
        for index in places.indices where places[index].packetID != 0 { places[index].needsResend = true }
        resendCount = count
        // Requests are made anew.
        requests.removeAll()
    }

    private mutating func grow() {
        let size = places.isEmpty ? 8 : places.count * 2
        var larger = [Entry](repeating: Entry(), count: size)
        for entry in places where entry.packetID != 0 { larger[Int(entry.packetID) & (size - 1)] = entry }
        places = larger
    }
}

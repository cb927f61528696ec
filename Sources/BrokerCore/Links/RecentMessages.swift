package import MQTTCodec

/// Names of messages that were here lately, in two generations: what is new joins the young one, and now and then that
/// becomes the old one, whose names are forgotten.
///
/// Names grow with time, so that most that come are later than all that are known, and need not be looked for.
package struct RecentMessages {
    private var young = NameTable()
    private var old = NameTable()

    /// How many joined since the last turn.
    package var youngCount: Int { young.count }

    package init() {}

    /// - Parameter topic: where the same message under another topic is another one.
    /// - Complexity: O(1) for what is later than all; else O(topic), and amortised O(1) for each that was not looked for.
    package mutating func contains(_ id: MessageID, as topic: MQTTString? = nil) -> Bool {
        guard young.mayContain(id) || old.mayContain(id) else { return false }
        let name = NameTable.Name(id, topic)
        return young.mayContain(id) && young.contains(name) || old.mayContain(id) && old.contains(name)
    }

    /// - Complexity: O(1) amortised; no allocation once a generation has been as large before.
    package mutating func insert(_ id: MessageID, as topic: MQTTString? = nil) {
        young.insert(NameTable.Name(id, topic), of: id)
    }

    package mutating func turn() {
        swap(&young, &old)
        young.removeAll()
    }

    mutating func removeAll() { self = RecentMessages() }
}

/// A set of names. They are written down in a row, and sorted into a table, of open addressing, when one is looked for:
/// where nothing comes twice that is never.
private struct NameTable {
    struct Name: Equatable {
        /// Of all of it, with a seed that is new in every process: nobody can make names that meet in one place. Says where
        /// to look, and is never 0, which marks a free place.
        let hash: UInt64
        /// Microseconds: of two names with one hash they would have to be the same as well.
        let time: UInt64

        init(_ id: MessageID, _ topic: MQTTString?) {
            var hasher = Hasher()
            hasher.combine(id)
            if let topic { hasher.combine(topic) }
            hash = UInt64(bitPattern: Int64(hasher.finalize())) | 1
            time = id.high
        }

        init() { (hash, time) = (0, 0) }
    }

    private var names: [Name] = []
    /// As many of them as `sorted` says, by their hashes.
    private var places: [Name] = []
    private var sorted = 0
    /// The latest that joined.
    private var latest: MessageID?

    func mayContain(_ id: MessageID) -> Bool { latest.map { id <= $0 } ?? false }

    var count: Int { names.count }

    mutating func insert(_ name: Name, of id: MessageID) {
        if !mayContain(id) { latest = id }
        names.append(name)
    }

    mutating func contains(_ name: Name) -> Bool {
        while sorted < names.count {
            // A quarter stays free, so that a search ends soon.
            if sorted * 4 >= places.count * 3 { grow() }
            places[place(of: names[sorted])] = names[sorted]
            sorted += 1
        }
        return !places.isEmpty && places[place(of: name)].hash != 0
    }

    /// Keeps the room: under load there will be as many again.
    mutating func removeAll() {
        names.removeAll(keepingCapacity: true)
        latest = nil
        guard sorted > 0 else { return }
        sorted = 0
        for place in places.indices { places[place] = Name() }
    }

    /// Where it is, or would be.
    private func place(of name: Name) -> Int {
        var place = Int(truncatingIfNeeded: name.hash >> 1) & (places.count - 1)
        while places[place].hash != 0, places[place] != name { place = (place + 1) & (places.count - 1) }
        return place
    }

    private mutating func grow() {
        let old = places
        places = [Name](repeating: Name(), count: max(16, old.count * 2))
        for name in old where name.hash != 0 { places[place(of: name)] = name }
    }
}

/// What is to happen, earliest first; events of the same instant in the order in which they were planned.
struct EventQueue {
    /// The heap moves these about: they hold no reference that would have to be counted.
    private struct Key {
        /// Nanoseconds of virtual time.
        let at: UInt64
        let order: UInt64
        /// Where its body lies.
        let place: Int

        func precedes(_ other: Key) -> Bool { at == other.at ? order < other.order : at < other.at }
    }

    private var heap: [Key] = []
    private var bodies: [(() -> Void)?] = []
    private var freePlaces: [Int] = []
    private var order: UInt64 = 0

    var nextAt: UInt64? { heap.first?.at }

    mutating func add(at: UInt64, _ body: @escaping () -> Void) {
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
            bodies[place] = body
        } else {
            place = bodies.count
            bodies.append(body)
        }
        order += 1
        let key = Key(at: at, order: order, place: place)
        heap.append(key)
        var child = heap.count - 1
        while child > 0, key.precedes(heap[(child - 1) / 2]) {
            heap[child] = heap[(child - 1) / 2]
            child = (child - 1) / 2
        }
        heap[child] = key
    }

    mutating func pop() -> (() -> Void)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        defer {
            bodies[first.place] = nil
            freePlaces.append(first.place)
        }
        guard !heap.isEmpty else { return bodies[first.place] }
        var parent = 0
        while true {
            var least = 2 * parent + 1
            guard least < heap.count else { break }
            if least + 1 < heap.count, heap[least + 1].precedes(heap[least]) { least += 1 }
            guard heap[least].precedes(last) else { break }
            heap[parent] = heap[least]
            parent = least
        }
        heap[parent] = last
        return bodies[first.place]
    }

    mutating func removeAll() {
        heap.removeAll()
        bodies.removeAll()
        freePlaces.removeAll()
    }
}

/// What is to happen, earliest first; events of the same instant in the order in which they were planned.
struct EventQueue {
    struct Event {
        /// Nanoseconds of virtual time.
        let at: UInt64
        let order: UInt64
        let body: () -> Void

        func precedes(_ other: Event) -> Bool { at == other.at ? order < other.order : at < other.at }
    }

    private var heap: [Event] = []
    private var order: UInt64 = 0

    var nextAt: UInt64? { heap.first?.at }

    mutating func add(at: UInt64, _ body: @escaping () -> Void) {
        order += 1
        heap.append(Event(at: at, order: order, body: body))
        var child = heap.count - 1
        while child > 0, heap[child].precedes(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> Event? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].precedes(heap[least])
            {
                least = child
            }
            guard least != parent else { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    mutating func removeAll() { heap.removeAll() }
}

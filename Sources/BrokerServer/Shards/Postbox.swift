import Synchronization

/// What others want of a thread: appended by anybody, taken whole.
final class Postbox<Element: Sendable>: Sendable {
    private let waiting = Mutex<[Element]>([])

    /// - Returns: whether it was empty: then whoever empties it has to be woken.
    func post(_ element: Element) -> Bool {
        waiting.withLock { waiting in
            waiting.append(element)
            return waiting.count == 1
        }
    }

    /// Moves all of them here; the array that is passed keeps a buffer for the next ones.
    ///
    /// - Returns: whether it was empty before.
    func post(all elements: inout [Element]) -> Bool {
        waiting.withLock { waiting in
            guard waiting.isEmpty else {
                waiting += elements
                elements.removeAll(keepingCapacity: true)
                return false
            }
            swap(&waiting, &elements)
            return true
        }
    }

    /// - Parameter elements: an empty array, whose buffer changes places with the one in use.
    func take(into elements: inout [Element]) {
        assert(elements.isEmpty)
        waiting.withLock { swap(&$0, &elements) }
    }

    var isEmpty: Bool { waiting.withLock { $0.isEmpty } }
}

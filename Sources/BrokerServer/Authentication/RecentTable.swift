/// A table of bounded size that forgets what was not used for long: two generations, of which the older is thrown away
/// as a whole when the younger is full.
///
/// - Complexity: O(1) for everything; never more than twice `countMax` entries.
package struct RecentTable<Key: Hashable, Value> {
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]
    private let countMax: Int

    /// - Parameter countMax: entries that are surely remembered.
    package init(countMax: Int) { self.countMax = countMax }

    package var count: Int { young.count + old.count }

    package subscript(key: Key) -> Value? {
        get { young[key] ?? old[key] }
        set {
            old[key] = nil
            guard let newValue else {
                young[key] = nil
                return
            }
            if young[key] == nil, young.count >= countMax {
                old = young
                young = [:]
            }
            young[key] = newValue
        }
    }

    package mutating func removeAll() {
        young = [:]
        old = [:]
    }
}

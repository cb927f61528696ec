/// The settings that belong together: those of the broker, of one listener, or of one bridge. Whoever understands a
/// setting takes it; what is left in the end is looked up in `MosquittoKeys`.
final class MosquittoSection {
    /// The line that opens it; nil for the broker and for the listener that needs none.
    let header: MosquittoLine?
    private(set) var lines: [MosquittoLine] = []
    private var taken: Set<Int> = []

    init(header: MosquittoLine? = nil) { self.header = header }

    func add(_ line: MosquittoLine) { lines.append(line) }

    func has(_ key: String) -> Bool { lines.contains { $0.key == key } }

    /// The last line with this key counts, as in mosquitto; nil when there is none.
    func take(_ key: String) -> MosquittoLine? { takeAll(key).last }

    func takeAll(_ key: String) -> [MosquittoLine] {
        var found: [MosquittoLine] = []
        for (index, line) in lines.enumerated() where line.key == key {
            taken.insert(index)
            found.append(line)
        }
        return found
    }

    /// The first of several names of one thing.
    func take(anyOf keys: [String]) -> MosquittoLine? {
        keys.compactMap { take($0) }.last
    }

    var left: [MosquittoLine] {
        lines.enumerated().compactMap { taken.contains($0.offset) ? nil : $0.element }
    }
}

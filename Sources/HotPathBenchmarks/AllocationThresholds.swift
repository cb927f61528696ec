import Foundation

/// The guarded numbers: allocations for each published message, by the name of the benchmark.
struct AllocationThresholds {
    private(set) var allowed: [String: Double]

    init(contentsOf path: String) throws {
        allowed = try JSONDecoder().decode([String: Double].self, from: Data(contentsOf: URL(filePath: path)))
    }

    /// What this run found, with room for what differs from run to run: how many bytes one read brings.
    init(measured: [(name: String, allocations: Double)]) {
        allowed = Dictionary(
            measured.map { ($0.name, ($0.allocations * 1.05 * 100 + 2).rounded(.up) / 100) },
            uniquingKeysWith: { $1 }
        )
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        var text = try encoder.encode(allowed)
        text.append(UInt8(ascii: "\n"))
        try text.write(to: URL(filePath: path))
    }
}

import Foundation

/// Guards the cost of the path of a message: counts what it allocates, and fails when that is more than what stands in
/// `Thresholds/allocations.json`. Counts are the same on every machine and in every hour, as times are not.
///
///     HotPathBenchmarks FILE            measures and compares with the file
///     HotPathBenchmarks FILE --write    measures and writes the file
@main
struct HotPathBenchmarks {
    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        let arguments = CommandLine.arguments.dropFirst()
        let isWriting = arguments.contains("--write")
        guard let path = arguments.first(where: { !$0.hasPrefix("-") }) else {
            return end("usage: HotPathBenchmarks FILE-OF-THRESHOLDS [--write]", status: 2)
        }
        guard AllocationMeter.counts else {
            return end("HotPathBenchmarks: allocations are counted over glibc only, and without sanitizers", status: 2)
        }
        do {
            let measured = try await measure()
            if isWriting {
                try AllocationThresholds(measured: measured).write(to: path)
                return end("wrote \(path)", status: 0)
            }
            let faults = compare(measured, try AllocationThresholds(contentsOf: path))
            guard faults.isEmpty else {
                return end(
                    "HotPathBenchmarks: the path of a message allocates more than \(path) allows\n" + faults, status: 1)
            }
        } catch {
            end("HotPathBenchmarks: \(error)", status: 1)
        }
    }

    private static func measure() async throws -> [(name: String, allocations: Double)] {
        var measured: [(name: String, allocations: Double)] = []
        for benchmark in try DecodeBenchmark.all() + DeliveryBenchmark.all() {
            measured.append((benchmark.name, try benchmark.measure()))
        }
        return try await RoundTripBenchmark.withBroker { port in
            for kind in RoundTripBenchmark.kinds {
                let benchmark = try RoundTripBenchmark(kind.name, kind.qos, together: kind.together, port: port)
                measured.append((kind.name, try benchmark.measure()))
            }
            return measured
        }
    }

    /// Prints what was found.
    ///
    /// - Returns: a line for each number that is too high; empty when all is well.
    private static func compare(
        _ measured: [(name: String, allocations: Double)],
        _ thresholds: AllocationThresholds
    ) -> String {
        var faults = ""
        print("allocations for each published message   measured   allowed")
        for (name, allocations) in measured {
            let allowed = thresholds.allowed[name]
            let verdict = allowed.map { allocations > $0 ? "  TOO MANY" : "" } ?? "  NOT IN THE FILE"
            let label = name.padding(toLength: 40, withPad: " ", startingAt: 0)
            print(label + String(format: "%9.2f %9.2f", allocations, allowed ?? 0) + verdict)
            if !verdict.isEmpty {
                faults += String(format: "  \(name): measured %.2f, allowed %.2f\n", allocations, allowed ?? 0)
            }
        }
        return faults
    }

    private static func end(_ text: String, status: Int32) {
        fflush(nil)
        (status == 0 ? FileHandle.standardOutput : FileHandle.standardError).write(Data((text + "\n").utf8))
        exit(status)
    }
}

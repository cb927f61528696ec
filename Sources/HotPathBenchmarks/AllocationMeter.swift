import CAllocationCounter

/// What a piece of work allocates, of all threads of this process; what was prepared outside is not counted.
struct AllocationMeter {
    private(set) var allocations: UInt64 = 0

    /// False where nothing can be counted: on another system than Linux with glibc, and under a sanitizer.
    static var counts: Bool { allocation_counter_counts() }

    mutating func count<Result, Failure: Error>(_ work: () throws(Failure) -> Result) throws(Failure) -> Result {
        let before = allocation_counter_allocations()
        defer { allocations += allocation_counter_allocations() - before }
        return try work()
    }
}

/// A piece of the path of a message, as a round that is done again and again.
protocol AllocationBenchmark {
    /// In words, as the file of thresholds has it.
    var name: String { get }
    /// Messages published in one round.
    var messages: Int { get }

    mutating func round(_ meter: inout AllocationMeter) throws(BenchmarkProblem)
}

extension AllocationBenchmark {
    /// Allocations for each message that is published: the median of many rounds behind some that fill caches and
    /// buffers, so that the growth of a table counts in none.
    func measure(rounds: Int = 60, warmUp: Int = 20) throws(BenchmarkProblem) -> Double {
        var benchmark = self
        var found: [UInt64] = []
        for number in 0..<warmUp + rounds {
            var meter = AllocationMeter()
            try benchmark.round(&meter)
            if number >= warmUp { found.append(meter.allocations) }
        }
        return Double(found.sorted()[found.count / 2]) / Double(messages)
    }
}

/// Why nothing could be measured.
struct BenchmarkProblem: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

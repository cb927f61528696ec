import ArgumentParser
import BrokerSimulation
import Foundation

/// `drawbridge simulate`: whole sites from seeds, and what became of the promises.
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run whole sites from seeds, with everything that can break breaking, and judge the promises.",
        discussion: """
            One seed is one run: brokers, clients, disks and lines in one thread and in virtual time. The same seed gives \
            the same run and the same digest, in every process. Without --seed it runs a campaign over many seeds; every \
            run that fails prints the command that repeats it.
            """
    )

    @Option(name: .long, help: "Repeat the run of this seed and print its verdict, digest and plan.")
    var seed: UInt64?

    @Option(name: .long, help: "Stop after so many steps, to look at a run half way; judges only what happened so far.")
    var steps: Int?

    @Option(name: .long, help: "How many seeds a campaign runs.")
    var seeds: UInt64 = 1_000

    @Option(name: .long, help: "The first seed of a campaign.")
    var first: UInt64 = 1

    @Option(name: .long, help: "How many runs at a time; 0 takes one for each processor.")
    var jobs = 0

    @Option(name: .long, help: "Event loops of each node, 1 to 8; without it the seed decides.")
    var loops: Int?

    @Flag(name: .long, help: "Print all that happens in the run of --seed.")
    var trace = false

    mutating func validate() throws {
        if let steps, steps < 1 { throw ValidationError("--steps is at least 1.") }
        if seeds < 1 { throw ValidationError("--seeds is at least 1.") }
        if first > UInt64.max - seeds { throw ValidationError("--first and --seeds go beyond the last seed.") }
        if jobs < 0 || jobs > 1_024 { throw ValidationError("--jobs is 0 to 1024.") }
        if let loops, !(1...8).contains(loops) { throw ValidationError("--loops is 1 to 8.") }
        if trace, seed == nil { throw ValidationError("--trace goes with --seed.") }
    }

    func run() async throws {
        if let seed {
            let report = Self.report(seed, loops: loops, steps: steps, keepsTrace: trace)
            for line in report.trace.lines { print(line) }
            Console.say("\(report)")
            if !report.failures.isEmpty { throw ExitCode(1) }
            return
        }
        let findings = await campaign()
        if findings > 0 { throw ExitCode(1) }
    }

    private static func report(_ seed: UInt64, loops: Int?, steps: Int?, keepsTrace: Bool) -> SimulationReport {
        var options = SimulationOptions(seed: seed)
        if let loops { options.loops = loops }
        options.stepsMax = steps
        options.keepsTrace = keepsTrace
        return Simulation(seed: seed, options: options).run()
    }

    /// - Returns: how many runs failed.
    private func campaign() async -> Int {
        let jobs = jobs > 0 ? jobs : ProcessInfo.processInfo.activeProcessorCount
        var progress = CampaignProgress(total: seeds)
        let (loops, steps) = (loops, steps)
        var digest: UInt64 = 0
        await withTaskGroup(of: SimulationReport.self) { group in
            var next = first
            let end = first + seeds
            while next < end, next < first + UInt64(jobs) {
                let seed = next
                group.addTask { Self.report(seed, loops: loops, steps: steps, keepsTrace: false) }
                next += 1
            }
            for await report in group {
                if next < end {
                    let seed = next
                    group.addTask { Self.report(seed, loops: loops, steps: steps, keepsTrace: false) }
                    next += 1
                }
                // The order in which runs end differs from time to time: the sum does not.
                digest &+= report.digest
                progress.note(report)
            }
        }
        progress.finish(digest: digest)
        return progress.findings
    }
}

/// How far a campaign is: a line that writes over itself on a terminal, a line now and then in a log.
private struct CampaignProgress {
    private let total: UInt64
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let began = ContinuousClock.now
    private var spokenAt = ContinuousClock.now
    private var done: UInt64 = 0
    private(set) var findings = 0
    private var published = 0
    private var arrived = 0
    private var elided = 0
    private var ledger = LedgerSum()

    init(total: UInt64) { self.total = total }

    mutating func note(_ report: SimulationReport) {
        done += 1
        published += report.published
        arrived += report.arrived
        elided += report.elided
        ledger += report.ledger
        if !report.failures.isEmpty {
            findings += 1
            if isTerminal { Console.error("") }
            Console.say("\(report)")
        }
        guard .now - spokenAt >= (isTerminal ? .seconds(1) : .seconds(30)) else { return }
        spokenAt = .now
        let text = "\(done) of \(total) seeds, \(rate) a second, \(findings) findings, \(remaining) to go"
        if isTerminal {
            Console.tell("\r\(text)    ")
        } else {
            Console.error(text)
        }
    }

    func finish(digest: UInt64) {
        if isTerminal { Console.error("") }
        Console.say(
            """
            \(done) seeds in \(Self.clock(seconds)), \(rate) a second: \(published) messages published, \(arrived) \
            arrivals, \(elided) messages elided, \(findings) findings, digest \(String(digest, radix: 16))
            \(ledger)
            """
        )
    }

    private var seconds: Double { Double((ContinuousClock.now - began) / .milliseconds(1)) / 1_000 }
    private var rate: Int { Int(Double(done) / max(seconds, 0.001)) }
    private var remaining: String { Self.clock(seconds / Double(max(1, done)) * Double(total - done)) }

    private static func clock(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded())
        let minutes = whole / 60
        return whole < 60 ? "\(whole) s" : "\(minutes) min \(whole % 60) s"
    }
}

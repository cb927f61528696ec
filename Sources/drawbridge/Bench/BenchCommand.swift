import ArgumentParser
import BrokerBench
import BrokerServer
import Foundation

/// `drawbridge bench`: load on any MQTT broker.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Put load on an MQTT broker, and check what it delivers.",
        discussion: """
            Flags are those of emqtt_bench where they mean the same. Every message carries its publisher, its number \
            and the time at which it should have been sent: loss, duplicates and disorder are found, and a broker that \
            stalls is charged with every message that it delayed. Ends with 0 when all arrived once and in order, with \
            3 when the broker lost, doubled, reordered, damaged or refused messages or dropped connections, and with 1 \
            when the run could not take place.
            """,
        subcommands: [
            ConnectBench.self, SubscribeBench.self, PublishBench.self, PairBench.self, FanInBench.self,
            FanOutBench.self, ChatBench.self, IdleBench.self, BacklogBench.self,
        ],
        helpNames: .long
    )
}

/// From options to a report and an exit code.
enum BenchRunner {
    static func run(_ scenario: BenchScenario, _ arguments: BenchArguments, _ output: BenchOutputOptions) async throws {
        do {
            let interruption = Interruption()
            let progress: @Sendable (String) -> Void = { Console.error($0) }
            let run = try BenchRun(
                try arguments.settings(scenario),
                interruption: interruption,
                progress: output.quiet ? nil : progress
            )
            let stop = Signals.of([SIGINT, SIGTERM])
            let waiting = Task {
                for await number in stop {
                    // Who asks twice does not want to wait for the report.
                    if interruption.isInterrupted { _exit(128 + number) }
                    interruption.interrupt()
                }
            }
            defer { waiting.cancel() }
            let report = try await run.run()
            Console.say(output.json ? report.json : report.table)
            if report.exitCode != 0 { throw ExitCode(report.exitCode) }
        } catch let problem as UsageProblem {
            Console.error("Error: \(problem.text)\n\nUse 'drawbridge bench \(scenario) --help' to see usage.")
            throw ExitCode(1)
        } catch let problem as BenchProblem {
            Console.error("Error: \(problem)")
            throw ExitCode(1)
        } catch let problem as TLSProblem {
            Console.error("Error: \(problem)")
            throw ExitCode(1)
        }
    }
}

import BrokerBench
import BrokerServer
import NIOCore
import NIOPosix
import Testing

@Suite("Run of bench")
struct BenchRunTests {
    private func report(
        _ scenario: BenchScenario,
        against fault: FaultyBroker.Fault,
        interruption: Interruption = Interruption(),
        _ change: (inout BenchArguments) -> Void = { _ in }
    ) async throws -> BenchReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let broker = try await FaultyBroker(fault, on: group.next())
        var arguments = BenchArguments()
        arguments.client.host = "127.0.0.1"
        arguments.client.port = broker.port
        arguments.count = 3
        arguments.limit = 300
        // Where nothing is lost the machine may be as slow as it likes.
        arguments.patience = fault == .none ? 30 : 0.3
        change(&arguments)
        let report: BenchReport
        do {
            let settings = try arguments.settings(scenario)
            report = try await BenchRun(settings, interruption: interruption, progress: nil).run()
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
        try await broker.close()
        try await group.shutdownGracefully()
        return report
    }

    @Test("a broker that is right passes", arguments: [BenchScenario.pair, .fanin, .fanout], [3, 4, 5])
    func right(scenario: BenchScenario, version: Int) async throws {
        for qos in [0, 1] {
            let report = try await report(scenario, against: .none) {
                $0.version = version
                $0.qos = qos
            }
            #expect(report.faults == [] && report.exitCode == 0)
            #expect(report.sent == 300)
            #expect(report.received == (scenario == .fanout ? 900 : 300))
            #expect(report.acknowledged == (qos == 0 ? 0 : 300))
        }
    }

    @Test("clients of several hosts hear one another when their brokers are one")
    func hosts() async throws {
        let report = try await report(.fanout, against: .none) { $0.client.host = "127.0.0.1,localhost" }
        #expect(report.faults == [] && report.received == 900)
        #expect(report.address.contains("127.0.0.1:") && report.address.contains(", mqtt://localhost:"))
    }

    @Test("everybody in a chat hears everybody of the group")
    func chat() async throws {
        let report = try await report(.chat, against: .none) {
            $0.count = 6
            $0.groupSize = 3
            $0.qos = 1
            $0.threads = 2
        }
        #expect(report.faults == [] && report.sent == 300 && report.received == 900)
        let loss = try await self.report(.chat, against: .loses) {
            $0.count = 6
            $0.groupSize = 3
        }
        #expect(loss.lost > 0 && loss.exitCode == 3)
    }

    @Test("one message that is missing is found", arguments: [BenchScenario.pair, .fanin, .fanout])
    func loss(scenario: BenchScenario) async throws {
        let report = try await report(scenario, against: .loses)
        let subscribers: UInt64 = scenario == .fanin ? 1 : 3
        #expect(report.lost == subscribers && report.exitCode == 3)
        #expect(report.duplicates == 0 && report.reordered == 0)
        #expect(report.faults == ["\(subscribers) lost"])
    }

    @Test("a loss may be allowed, and is told all the same")
    func allowedLoss() async throws {
        let report = try await report(.pair, against: .loses) { $0.allowsLoss = true }
        #expect(report.lost == 3 && report.exitCode == 0)
    }

    @Test("one message that comes twice is found", arguments: [BenchScenario.pair, .fanin, .fanout])
    func duplicate(scenario: BenchScenario) async throws {
        let report = try await report(scenario, against: .doubles)
        #expect(report.duplicates == (scenario == .fanin ? 1 : 3) && report.exitCode == 3)
        #expect(report.lost == 0 && report.reordered == 0)
    }

    @Test("two messages that change places are found")
    func disorder() async throws {
        let report = try await report(.pair, against: .swaps)
        #expect(report.reordered == 3 && report.exitCode == 3)
        #expect(report.lost == 0 && report.duplicates == 0)
    }

    @Test("a message that is damaged is found, and is missing too")
    func damage() async throws {
        let report = try await report(.pair, against: .damages)
        #expect(report.corrupted == 3 && report.lost == 3 && report.exitCode == 3)
    }

    @Test("a connection that is dropped is found")
    func dropped() async throws {
        let report = try await report(.pair, against: .drops)
        #expect(report.dropped == 3 && report.lost > 0 && report.exitCode == 3)
        #expect(report.firstFailure == "the connection was lost")
    }

    @Test("an acknowledgement of nothing is found")
    func misplaced() async throws {
        let report = try await report(.pair, against: .misplacesIDs) { $0.qos = 1 }
        #expect(report.misplacedIds == 300 && report.exitCode == 3)
    }

    @Test("with a rate the messages are as many as were asked for, and delay counts from when they were due")
    func rate() async throws {
        let began = ContinuousClock.now
        let report = try await report(.pair, against: .none) {
            $0.limit = nil
            $0.rate = 1000
            $0.warmUp = 0
            $0.duration = 0.5
        }
        #expect(report.faults == [])
        // Of the first 0.5 s, and of as long as it took until everybody had been told that they are over.
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        #expect(report.sent >= 490 && Double(report.sent) <= 1000 * seconds + 1)
        #expect(report.received == report.sent)
        let timed = report.latencyMicros?.count ?? 0
        #expect(timed >= 490 && timed <= report.received)
    }

    @Test("clients of several threads hear one another", arguments: [BenchScenario.pair, .fanin, .fanout])
    func threads(scenario: BenchScenario) async throws {
        let report = try await report(scenario, against: .none) {
            $0.threads = 2
            $0.qos = 1
        }
        #expect(report.faults == [] && report.sent == 300)
    }

    @Test("clients that wait hear one message each")
    func idle() async throws {
        let report = try await report(.idle, against: .none) {
            $0.count = 20
            $0.topics = 4
            $0.limit = nil
            $0.duration = 0.1
        }
        #expect(report.faults == [] && report.received == 20 && report.sent == 4)
        // Those that publish at the end are none of them.
        #expect(report.connected == 20)
        let loss = try await self.report(.idle, against: .refusesSubscriptions, { _ in }, failing: true)
        #expect(loss == "0 of 3 clients connected: subscription refused: Not authorized")
    }

    @Test("a broker that lets nobody in any more is at fault", arguments: [BenchScenario.idle, .backlog])
    func latecomers(scenario: BenchScenario) async throws {
        let report = try await report(scenario, against: .refusesLatecomers) {
            guard scenario == .idle else { return }
            $0.limit = nil
            $0.duration = 0.1
        }
        #expect(report.failed == 3 && report.exitCode == 3)
        #expect(report.firstFailure?.contains("Not authorized") == true)
    }

    @Test(
        "a run that is interrupted while clients connect checks nothing, and says so",
        arguments: [BenchScenario.pair, .idle, .backlog, .conn])
    func interrupted(scenario: BenchScenario) async throws {
        let interruption = Interruption()
        interruption.interrupt()
        let report = try await report(scenario, against: .none, interruption: interruption) {
            // They would take ten seconds.
            $0.count = 200
            $0.connectRate = 20
            if scenario == .idle || scenario == .conn { $0.limit = nil }
        }
        #expect(report.faults == [] && report.exitCode == 1 && report.wasInterrupted && !report.wasSetUp)
        #expect(report.connected < report.connections && report.sent == 0)
        #expect(report.table.contains("interrupted: \(report.connected) of \(report.connections) clients connected"))
    }

    @Test("what a broker does not allow is said, with the flag to change")
    func limits() async throws {
        func problem(_ fault: FaultyBroker.Fault, qos: Int, size: Int = 64) async throws -> String {
            try await report(
                .pair,
                against: fault,
                {
                    $0.qos = qos
                    $0.size = size
                },
                failing: true
            )
        }
        let quality = try await problem(.takesQoS0Only, qos: 1)
        #expect(quality == "The broker takes messages of QoS 0 at most (Maximum QoS): say -q 0.")
        let granted = try await problem(.grantsLess, qos: 2)
        #expect(granted == "The broker grants subscriptions QoS 0, less than asked for: say -q 0.")
        let size = try await problem(.takesSmallPackets, qos: 0, size: 1000)
        #expect(size.contains("packets of 90 bytes at most (Maximum Packet Size)") && size.contains("say -s "))
        #expect(try await report(.pair, against: .takesQoS0Only).faults == [])
    }

    @Test("what keeps a run from taking place is said")
    func problems() async throws {
        let refused = try await report(.pair, against: .refusesConnections, { _ in }, failing: true)
        #expect(refused == "0 of 6 clients connected: refused: Connection error: Not authorized")
        let nobody = try await report(.pair, against: .none, { $0.client.port = 1 }, failing: true)
        #expect(nobody == "mqtt://127.0.0.1:1: Connection refused")
        let process = try await report(.pair, against: .none, { $0.processes = [-1] }, failing: true)
        #expect(process == "--pid: there is no such process.")
        let source = try await report(.pair, against: .none, { $0.sources = "here" }, failing: true)
        #expect(source == "--ifaddr here is no address.")
    }

    @Test("more clients than descriptors is said before anybody connects")
    func descriptors() throws {
        var arguments = BenchArguments()
        arguments.count = 9_000_000
        let settings = try arguments.settings(.conn)
        #expect(throws: UsageProblem.self) {
            try BenchRun(settings, interruption: Interruption(), progress: nil)
        }
    }

    @Test("the report is one line of JSON with the names of its fields")
    func json() async throws {
        let report = try await report(.pair, against: .none)
        #expect(report.json.hasPrefix("{") && !report.json.contains("\n"))
        #expect(report.json.contains(#""lost":0"#) && report.json.contains(#""latency_micros":{"#))
        #expect(report.table.contains("nothing lost, doubled or out of order"))
    }

    private func report(
        _ scenario: BenchScenario,
        against fault: FaultyBroker.Fault,
        _ change: (inout BenchArguments) -> Void,
        failing: Bool
    ) async throws -> String {
        do {
            _ = try await report(scenario, against: fault, change)
            return "it took place"
        } catch let problem as BenchProblem {
            return problem.description
        }
    }
}

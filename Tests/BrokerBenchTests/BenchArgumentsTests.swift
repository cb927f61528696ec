import BrokerBench
import BrokerServer
import MQTTCodec
import Testing

@Suite("Arguments of bench")
struct BenchArgumentsTests {
    private func settings(
        _ scenario: BenchScenario,
        _ change: (inout BenchArguments) -> Void = { _ in }
    ) throws -> BenchSettings {
        var arguments = BenchArguments()
        change(&arguments)
        return try arguments.settings(scenario)
    }

    private func problem(_ scenario: BenchScenario, _ change: (inout BenchArguments) -> Void) -> String? {
        do {
            _ = try settings(scenario, change)
            return nil
        } catch let problem as UsageProblem {
            return problem.text
        } catch {
            return "\(error)"
        }
    }

    @Test("without flags each scenario has its usual size, and version 5")
    func usual() throws {
        #expect(try settings(.pair).count == 100)
        #expect(try settings(.fanin).count == 50)
        #expect(try settings(.backlog).qos == .atLeastOnce)
        #expect(try settings(.backlog).limit == 10_000)
        #expect(try settings(.pair).client.connect.version == .v5)
        #expect(try settings(.pair).client.address.description == "mqtt://localhost:1883")
        #expect(try settings(.pair).rate == nil)
    }

    @Test("addresses are made of the flags that emqtt_bench has")
    func addresses() throws {
        let webSocket = try settings(.pair) { $0.usesWebSocket = true }
        #expect(webSocket.client.address.description == "ws://localhost:8083/mqtt")
        let encrypted = try settings(.pair) {
            $0.client.tlsUseOsCerts = true
            $0.client.host = "hub"
            $0.client.port = 9
        }
        #expect(encrypted.client.address.description == "mqtts://hub:9")
        let both = try settings(.pair) {
            $0.client.tlsUseOsCerts = true
            $0.usesWebSocket = true
            $0.path = "/ws"
        }
        #expect(both.client.address.description == "wss://localhost:8084/ws")
        let url = try settings(.pair) { $0.client.urlOption = "ws://ann:secret@[::1]:80/there" }
        #expect(url.client.address.description == "ws://[::1]:80/there")
        #expect(url.client.connect.username == "ann")
    }

    @Test("clients may take several hosts in turn")
    func hosts() throws {
        let settings = try settings(.pair) { $0.client.host = "east,west" }
        #expect(settings.hosts == ["east", "west"])
        #expect(settings.client.address.description == "mqtt://east:1883")
        #expect(try self.settings(.pair).hosts == ["localhost"])
        #expect(problem(.pair) { $0.client.host = "east,,west" } == "-h is hosts with commas between.")
    }

    @Test("milliseconds of a publisher and messages a second of all are one rate")
    func rates() throws {
        #expect(try settings(.pub) { $0.topic = "a" }.rate == 200)
        let fast = try settings(.pub) {
            $0.topic = "a"
            $0.messageInterval = 10
            $0.count = 5
        }
        #expect(fast.rate == 500)
        #expect(try settings(.pair) { $0.rate = 7.5 }.rate == 7.5)
        // Three publishers, however many hear them.
        let fanOut = try settings(.fanout) {
            $0.others = 3
            $0.messageInterval = 100
        }
        #expect(fanOut.rate == 30)
        let unbounded = try settings(.pub) {
            $0.topic = "a"
            $0.messageInterval = 0
        }
        #expect(unbounded.rate == nil)
        #expect(try settings(.conn) { $0.interval = 5 }.connectRate == 200)
        #expect(try settings(.conn) { $0.connectRate = 50 }.connectRate == 50)
        #expect(try settings(.conn) { $0.interval = 0 }.connectRate == nil)
        for (rate, wanted) in [(20.0, 20.0), (0, 200)] {
            let settings = try settings(.conn) {
                $0.interval = 5
                $0.connectRate = rate
            }
            #expect(settings.connectRate == wanted)
        }
    }

    @Test("a limit is an end of its own: no warm-up, and no time unless asked for")
    func limits() throws {
        let limited = try settings(.pair) { $0.limit = 100 }
        #expect(limited.limit == 100 && limited.warmUp == .zero && limited.duration == nil)
        let timed = try settings(.pair)
        #expect(timed.limit == nil && timed.warmUp == .seconds(1) && timed.duration == .seconds(10))
        #expect(try settings(.conn).duration == nil)
        #expect(try settings(.conn) { $0.isChurning = true }.duration == .seconds(10))
    }

    @Test("a pace that cannot be counted in nanoseconds is refused, with what can")
    func uncountable() throws {
        for interval in [Int.max, 10_000_001] {
            let text = problem(.conn) { $0.interval = interval }
            #expect(text == "-i must be between 0 and 10000000, not \(interval).")
        }
        for rate in [1e-300, 0.000_09, 1.1e8, Double.infinity, Double.nan, -1] {
            let connecting = problem(.conn) { $0.connectRate = rate }
            #expect(connecting?.hasPrefix("-R must be between 0.0001 and 100000000, not ") == true, "\(rate)")
            let sending = problem(.pair) { $0.rate = rate }
            #expect(sending?.hasPrefix("--rate must be between 0.0001 and 100000000, not ") == true, "\(rate)")
        }
        for interval in [1e18, Double.infinity, Double.nan, -1] {
            let text = problem(.pair) { $0.messageInterval = interval }
            #expect(text?.hasPrefix("-I must be between 0 and 10000000, not ") == true, "\(interval)")
        }
        #expect(problem(.pair) { $0.messageInterval = 1e-300 }?.contains("of all publishers (-I)") == true)
        for seconds in [-1, 1e8, Double.infinity, Double.nan] {
            #expect(problem(.pair) { $0.patience = seconds }?.hasPrefix("--drain must be between 0 and") == true)
        }
        let slowest = try settings(.pair) {
            $0.count = 1
            $0.messageInterval = 10_000_000
        }
        #expect(slowest.rate == 0.0001)
        #expect(try settings(.conn) { $0.interval = 10_000_000 }.connectRate == 0.0001)
        #expect(try settings(.conn) { $0.connectRate = 0 }.connectRate == nil)
    }

    @Test("backlog refuses what means nothing to it")
    func strays() throws {
        let strays: [(String, (inout BenchArguments) -> Void)] = [
            ("-I", { $0.messageInterval = 5 }), ("--rate", { $0.rate = 5 }), ("--duration", { $0.duration = 5 }),
            ("--warm-up", { $0.warmUp = 5 }), ("-x", { $0.sessionExpiry = 0 }), ("-C true", { $0.clean = true }),
        ]
        for (flag, change) in strays {
            #expect(problem(.backlog, change)?.hasPrefix("\(flag) means nothing to backlog") == true)
            #expect(problem(.pair, change) == nil)
        }
        #expect(problem(.backlog) { $0.clean = false } == nil)
    }

    @Test("no keep-alive is one that may be asked for")
    func keepAlive() throws {
        #expect(try settings(.conn) { $0.keepAlive = 0 }.client.connect.keepAlive == 0)
        #expect(try settings(.conn) { $0.keepAlive = 5 }.client.connect.keepAlive == 5)
        #expect(problem(.conn) { $0.keepAlive = 4 } == "-k must be between 5 and 65535, not 4.")
    }

    @Test("what is wrong is said")
    func problems() {
        #expect(problem(.pair) { $0.qos = 3 } == "-q is 0, 1 or 2.")
        #expect(problem(.pair) { $0.version = 6 }?.hasPrefix("-V is 3") == true)
        #expect(problem(.pair) { $0.size = 23 } == "-s must be between 24 and 268365456, not 23.")
        #expect(problem(.pair) { $0.count = 0 }?.hasPrefix("-c must be between 1") == true)
        #expect(problem(.pair) { $0.client.port = 70_000 } == "Invalid port given: 70000")
        #expect(problem(.pub) { _ in } == "pub needs a topic: -t.")
        #expect(problem(.sub) { $0.topic = "" } == "sub needs a topic: -t.")
        #expect(problem(.pair) { $0.topic = "one" }?.contains("needs %i or %c") == true)
        #expect(problem(.fanout) { $0.topic = "%i" }?.contains("no %i") == true)
        #expect(problem(.pair) { $0.topic = "%x" } == "Unknown variable \"%x\" in topic \"%x\".")
        #expect(problem(.pair) { $0.topic = "%" } == "Unknown variable \"%\" in topic \"%\".")
        #expect(problem(.backlog) { $0.qos = 0 }?.hasPrefix("backlog needs -q 1 or 2") == true)
        #expect(problem(.pair) { $0.rate = 0 }?.hasPrefix("--rate") == true)
        #expect(problem(.pair) { $0.limit = -1 }?.hasPrefix("-L") == true)
        #expect(problem(.pair) { $0.inflight = -1 }?.hasPrefix("-F") == true)
        #expect(problem(.pair) { $0.duration = -1 }?.hasPrefix("--duration") == true)
        #expect(problem(.conn) { $0.interval = -1 }?.hasPrefix("-i") == true)
        #expect(problem(.pair) { $0.path = "/a" } == "--path is for --ws.")
        #expect(problem(.pair) { $0.client.cert = "a" } != nil)
        #expect(problem(.fanin) { $0.shareName = "a/b" } == "\"a/b\" is no name of a shared subscription.")
        let two: (inout BenchArguments) -> Void = {
            $0.rate = 1
            $0.messageInterval = 1
        }
        #expect(problem(.pair, two) == "-I and --rate both say how fast to publish.")
        let shared: (inout BenchArguments) -> Void = {
            $0.shareName = "g"
            $0.threads = 2
        }
        #expect(problem(.fanin, shared)?.contains("--threads") == true)
    }
}

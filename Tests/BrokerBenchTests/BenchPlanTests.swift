import BrokerBench
import BrokerServer
import MQTTCodec
import Testing

@Suite("Plan of a run")
struct BenchPlanTests {
    private func plan(
        _ scenario: BenchScenario,
        _ change: (inout BenchArguments) -> Void = { _ in }
    ) throws -> BenchPlan {
        var arguments = BenchArguments()
        arguments.prefix = "r"
        change(&arguments)
        return try BenchPlan(try arguments.settings(scenario))
    }

    @Test("variables of a topic stand for user name, client id and number")
    func variables() throws {
        let topic = try BenchTopic("a/%u/%c/%i/100%%")
        #expect(topic.text(username: "ann", clientID: "id", number: 7) == "a/ann/id/7/100%")
        #expect(topic.isOfOneClient)
        #expect(try !BenchTopic("a/%u").isOfOneClient)
    }

    @Test("numbers begin behind the start number, so that processes can share clients among them")
    func numbers() throws {
        let plan = try plan(.pub) {
            $0.count = 2
            $0.startNumber = 10
            $0.topic = "t/%i/%c"
        }
        #expect(plan.roles.map(\.clientID) == ["rp11", "rp12"])
        #expect(plan.roles.map(\.topic) == ["t/11/rp11", "t/12/rp12"])
    }

    @Test("each subscriber of a pair hears its publisher, and nobody else's topic matches")
    func pairs() throws {
        for topic in [nil, "a/%i", "%c"] {
            let plan = try plan(.pair) {
                $0.count = 3
                $0.topic = topic
            }
            #expect(plan.roles.count == 6 && plan.publishers == 3 && plan.copies == 1)
            for subscriber in plan.roles where subscriber.filter != nil {
                for publisher in plan.roles {
                    guard let topic = publisher.topic else { continue }
                    let isHeard = subscriber.hears?.contains(publisher.publisher) == true
                    #expect(subscriber.filter?.matches(topic) == isHeard)
                }
            }
        }
    }

    @Test("every subscriber of fanin and fanout hears every publisher")
    func all() throws {
        let plans = [
            try plan(.fanin) {
                $0.count = 4
                $0.others = 2
                $0.topic = "deep/%i/x"
            },
            try plan(.fanin) { $0.count = 4 },
            try plan(.fanin) {
                $0.count = 4
                $0.others = 3
                $0.shareName = "g"
            },
            try plan(.fanout) {
                $0.count = 5
                $0.others = 2
            },
        ]
        #expect(plans.map(\.copies) == [2, 1, 1, 5])
        for plan in plans {
            for subscriber in plan.roles {
                guard let filter = subscriber.filter else { continue }
                #expect(subscriber.hears == 0..<plan.publishers)
                for publisher in plan.roles {
                    if let topic = publisher.topic { #expect(filter.matches(topic)) }
                }
            }
        }
        #expect(plans[2].roles.first?.filter?.shareName == "g")
    }

    @Test("members of a chat hear their group and nobody else, themselves included")
    func chat() throws {
        let plan = try plan(.chat) {
            $0.count = 6
            $0.groupSize = 3
            $0.threads = 2
        }
        #expect(plan.roles.count == 6 && plan.publishers == 6 && plan.copies == 3)
        #expect(plan.roles.map(\.thread) == [0, 0, 0, 1, 1, 1])
        for subscriber in plan.roles {
            let heard = plan.roles.filter { role in
                role.topic.map { subscriber.filter?.matches($0) == true } == true
            }
            #expect(heard.map(\.publisher) == subscriber.hears.map(Array.init))
            #expect(subscriber.hears?.contains(subscriber.publisher) == true)
        }
    }

    @Test("a chat whose last group would be smaller is refused")
    func unevenChat() {
        #expect(throws: UsageProblem.self) {
            try plan(.chat) {
                $0.count = 7
                $0.groupSize = 3
            }
        }
    }

    @Test("idle clients share topics, and each topic has its probe")
    func idle() throws {
        let plan = try plan(.idle) {
            $0.count = 10
            $0.topics = 3
        }
        let probes = try plan.probes()
        #expect(plan.roles.count == 10 && plan.publishers == 0 && probes.publishers == 3)
        for subscriber in plan.roles {
            let heard = probes.roles.filter { probe in
                probe.topic.map { subscriber.filter?.matches($0) == true } == true
            }
            #expect(heard.map(\.publisher) == subscriber.hears.map(Array.init))
        }
    }

    @Test("clients are spread over the threads, and both of a pair live on one")
    func threads() throws {
        let plan = try plan(.pair) {
            $0.count = 4
            $0.threads = 2
        }
        #expect(plan.roles.map(\.thread) == [0, 1, 0, 1, 0, 1, 0, 1])
    }

    @Test("both of a pair take different hosts, however many there are of either", arguments: [1, 2, 3, 4], [2, 3])
    func hosts(pairs: Int, hosts: Int) throws {
        let plan = try plan(.pair) { $0.count = pairs }
        for subscriber in plan.roles {
            guard let publisher = subscriber.hears?.first else { continue }
            let other = plan.roles.first { $0.topic != nil && $0.publisher == publisher }
            #expect(other.map { $0.turn % hosts } != subscriber.turn % hosts)
        }
    }

    @Test("clients of other scenarios take hosts in turn")
    func turns() throws {
        for scenario in [BenchScenario.conn, .fanin, .fanout, .chat] {
            let plan = try plan(scenario) {
                $0.count = 4
                $0.groupSize = 2
            }
            #expect(plan.roles.map(\.turn) == Array(plan.roles.indices))
        }
    }

    @Test("a topic that nobody may publish to is refused")
    func wildcards() {
        #expect(throws: UsageProblem.self) { try plan(.pub) { $0.topic = "a/#" } }
        #expect(throws: UsageProblem.self) { try plan(.sub) { $0.topic = "a/#/b" } }
    }

    @Test("ticks of a process are found behind a name with brackets and spaces")
    func processes() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 111 222 15"
        #expect(ProcessUsage.ticks(inStat: "42 (a (b) c) \(fields)") == 333)
        #expect(ProcessUsage.ticks(inStat: "nonsense") == nil)
        #expect(ProcessUsage(of: [-1]) == nil)
    }
}

import BrokerCore
import MQTTCodec
import Testing

@Suite("The probe of a link")
struct LinkProbeTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)

    private static func granted() -> LinkProbe {
        var probe = LinkProbe()
        probe.asked(7)
        let answer1 = probe.subscribed(7, isGranted: true)
        #expect(answer1)
        return probe
    }

    @Test("before the first probe nobody is late")
    func nothingOut() {
        var probe = LinkProbe()
        let isStalled = probe.isStalled(isExcused: false)
        #expect(!isStalled)
    }

    @Test("without a round trip any answer will do, and none is a stall", arguments: [false, true])
    func progress(_ isRefused: Bool) {
        var probe = LinkProbe()
        if isRefused {
            probe.asked(7)
            let answer2 = probe.subscribed(8, isGranted: true)
            #expect(!answer2)
            let answer3 = probe.subscribed(7, isGranted: false)
            #expect(answer3)
        }
        probe.begin()
        #expect(probe.needsPing)
        let answer4 = probe.send(epoch: 1, Self.start)
        #expect(answer4 == nil)
        probe.lineAnswered()
        let answer5 = probe.isStalled(isExcused: false)
        #expect(!answer5)
        probe.begin()
        probe.messageMoved()
        let answer6 = probe.isStalled(isExcused: false)
        #expect(!answer6)
        probe.begin()
        let answer7 = probe.isStalled(isExcused: false)
        #expect(answer7)
        let answer8 = probe.isStalled(isExcused: true)
        #expect(!answer8)
    }

    @Test("once a round trip returned, an upstream that answers pings and moves nothing is stalled")
    func roundTrip() {
        var probe = Self.granted()
        probe.begin()
        #expect(probe.needsPing)
        let payload = probe.send(epoch: 3, Self.start)
        #expect(payload == "3-1")
        let answer9 = probe.send(epoch: 3, Self.start)
        #expect(answer9 == nil, "one message a probe")
        #expect(probe.isUnproven)
        let answer10 = probe.returned("3-1", epoch: 3, Self.start.advanced(by: .milliseconds(20)))
        #expect(answer10)
        #expect(probe.delay == .milliseconds(20))
        let answer11 = probe.isStalled(isExcused: false)
        #expect(!answer11)
        #expect(!probe.needsPing && !probe.isUnproven)
        probe.begin()
        _ = probe.send(epoch: 3, Self.start)
        probe.lineAnswered()
        let answer12 = probe.isStalled(isExcused: false)
        #expect(answer12)
        // QoS 0 is the first that a broker drops when it has much for us.
        probe.messageMoved()
        let answer13 = probe.isStalled(isExcused: false)
        #expect(!answer13)
    }

    @Test("a round trip that never returned is missed no more, as long as the line answers")
    func missing() {
        var probe = Self.granted()
        probe.begin()
        _ = probe.send(epoch: 3, Self.start)
        probe.lineAnswered()
        let answer14 = probe.isStalled(isExcused: false)
        #expect(!answer14)
        #expect(probe.roundTrip == .missing)
        probe.begin()
        #expect(probe.needsPing)
        let answer15 = probe.send(epoch: 3, Self.start)
        #expect(answer15 == nil)
        let answer16 = probe.isStalled(isExcused: false)
        #expect(answer16)
        var silent = Self.granted()
        silent.begin()
        _ = silent.send(epoch: 3, Self.start)
        let answer17 = silent.isStalled(isExcused: false)
        #expect(answer17)
    }

    @Test("what others, or we over an earlier connection, sent there is no answer")
    func foreign() {
        var probe = Self.granted()
        probe.begin()
        _ = probe.send(epoch: 3, Self.start)
        let answer18 = probe.returned("2-1", epoch: 3, Self.start)
        #expect(!answer18)
        let answer19 = probe.returned("", epoch: 3, Self.start)
        #expect(!answer19)
        #expect(probe.roundTrip == .granted)
        #expect(!probe.isAnswered)
    }

    @Test("the topic of a probe is one of its client, whatever that is called")
    func topics() {
        #expect(ProbeTopic.standard(clientID: "site-7") == "$drawbridge/probe/site-7")
        #expect(ProbeTopic.standard(clientID: "a/+#%") == "$drawbridge/probe/a%2F%2B%23%25")
        #expect(ProbeTopic.isOne("$drawbridge/probe/x"))
        #expect(!ProbeTopic.isOne("$drawbridge/probe/"))
        #expect(!ProbeTopic.isOne("drawbridge/probe/x"))
    }
}

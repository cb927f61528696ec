import BrokerCore
import Testing

@Suite("The life of a link")
struct LinkMachineTests {
    /// A machine in each phase.
    private static func machine(_ phase: LinkMachine.Phase) -> LinkMachine {
        var machine = LinkMachine()
        switch phase {
        case .disabled: machine.disable()
        case .idle: break
        case .dialing: _ = machine.dial()
        case .handshaking: _ = (machine.dial(), machine.reached())
        case .probing: _ = (machine.dial(), machine.reached(), machine.accepted())
        case .moving: _ = (machine.dial(), machine.reached(), machine.accepted(), machine.moved())
        case .waiting(let failure): _ = (machine.dial(), machine.failed(failure))
        }
        return machine
    }

    private static let failures: [LinkMachine.Failure] = [
        .lost, .stalled, .refused(isTemporary: false), .refused(isTemporary: true),
    ]
    private static let phases: [LinkMachine.Phase] =
        [.disabled, .idle, .dialing, .handshaking, .probing, .moving] + failures.map { .waiting($0) }

    @Test("every phase has the name that operators read", arguments: phases)
    func names(_ phase: LinkMachine.Phase) {
        let machine = Self.machine(phase)
        #expect(machine.phase == phase)
        let expected: LinkMachine.State =
            switch phase {
            case .disabled: .disabled
            case .idle: .idle
            case .dialing, .handshaking: .connecting
            case .probing: .probing
            case .moving: .catchingUp
            case .waiting(.lost): .backingOff
            case .waiting(.stalled): .stalled
            case .waiting(.refused): .refused
            }
        #expect(machine.state(isBehind: true) == expected)
        #expect(machine.state(isBehind: false) == (phase == .moving ? .live : expected))
        var paused = machine
        paused.isPaused = true
        #expect(paused.state(isBehind: true) == (phase == .disabled ? .disabled : .paused))
        #expect(machine.isConnected == (phase == .probing || phase == .moving))
    }

    @Test("each event counts in the phase that it belongs to, and nowhere else", arguments: phases)
    func events(_ phase: LinkMachine.Phase) {
        var isWaiting = false
        if case .waiting = phase { isWaiting = true }
        var machine = Self.machine(phase)
        let isDialled = machine.dial() != nil
        #expect(isDialled == (phase == .idle || isWaiting))
        #expect(machine.phase == (isDialled ? .dialing : phase))
        machine = Self.machine(phase)
        let answer1 = machine.reached()
        #expect(answer1 == (phase == .dialing))
        machine = Self.machine(phase)
        let answer2 = machine.accepted()
        #expect(answer2 == (phase == .handshaking))
        machine = Self.machine(phase)
        let answer3 = machine.moved()
        #expect(answer3 == (phase == .probing))
        for failure in Self.failures {
            machine = Self.machine(phase)
            let hadSomething = ![.disabled, .idle].contains(phase) && !isWaiting
            let pause = machine.failed(failure)
            #expect((pause != nil) == hadSomething)
            #expect(machine.phase == (hadSomething ? .waiting(failure) : phase))
        }
        machine = Self.machine(phase)
        machine.rest()
        #expect(machine.phase == (phase == .disabled ? .disabled : .idle))
        machine.restart()
        #expect(machine.phase == .idle)
        machine.disable()
        #expect(machine.phase == .disabled)
    }

    @Test("with one address every failure waits, a refusal for as long as it gets, unless it may pass")
    func pauses() {
        for (failure, pause) in zip(Self.failures, [.backOff, .backOff, .longest, .backOff] as [LinkMachine.Pause]) {
            var machine = LinkMachine()
            for number in 0..<3 {
                let answer4 = machine.dial()
                #expect(answer4 == number)
                let answer5 = machine.failed(failure)
                #expect(answer5 == pause)
            }
        }
    }

    @Test("every address gets its try before anybody waits")
    func rounds() {
        var machine = LinkMachine()
        machine.addressCount = 3
        var pauses: [LinkMachine.Pause?] = []
        for number in 0..<6 {
            let answer6 = machine.dial()
            #expect(answer6 == number)
            pauses.append(machine.failed(.stalled))
        }
        #expect(pauses == [.some(.none), .some(.none), .backOff, .some(.none), .some(.none), .backOff])
    }

    @Test("what stalls after it moved is left for the next address at once")
    func stalled() {
        var machine = Self.machine(.moving)
        machine.addressCount = 2
        let answer7 = machine.failed(.stalled)
        #expect(answer7 == LinkMachine.Pause.none)
        let answer8 = machine.dial()
        #expect(answer8 == 1)
    }

    @Test("an upstream that was good and goes is dialled first again, after a pause")
    func lost() {
        var machine = LinkMachine()
        machine.addressCount = 2
        _ = (machine.dial(), machine.failed(.lost))
        let answer9 = machine.dial()
        #expect(answer9 == 1)
        _ = (machine.reached(), machine.accepted(), machine.moved())
        #expect(machine.failures == 0)
        let answer10 = machine.failed(.lost)
        #expect(answer10 == .backOff)
        let answer11 = machine.dial()
        #expect(answer11 == 0)
    }

    @Test("other settings forget what came before")
    func restart() {
        var machine = LinkMachine()
        for _ in 0..<3 { _ = (machine.dial(), machine.failed(.refused(isTemporary: false))) }
        machine.restart()
        #expect(machine.failures == 0)
        let answer12 = machine.dial()
        #expect(answer12 == 0)
    }
}

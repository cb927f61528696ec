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
        case .waiting(let failure): _ = (machine.dial(), machine.failed(failure, hasNext: false))
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
        let isDialled = machine.dial()
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
            let pause = machine.failed(failure, hasNext: false)
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

    @Test("every failure waits, a refusal for as long as it gets unless it may pass; another address is tried at once")
    func pauses() {
        for (failure, pause) in zip(Self.failures, [.backOff, .backOff, .longest, .backOff] as [LinkMachine.Pause]) {
            for phase in [.dialing, .handshaking, .probing, .moving] as [LinkMachine.Phase] {
                var machine = Self.machine(phase)
                let atTheEnd = machine.failed(failure, hasNext: false)
                #expect(atTheEnd == pause)
                #expect(machine.failures == 1)
                machine = Self.machine(phase)
                let before = machine.failed(failure, hasNext: true)
                #expect(before == LinkMachine.Pause.none)
            }
        }
    }

    @Test("what moves, and other settings, make failures forgotten")
    func failures() {
        var machine = LinkMachine()
        for _ in 0..<3 { _ = (machine.dial(), machine.failed(.lost, hasNext: false)) }
        #expect(machine.failures == 3)
        var other = machine
        _ = (machine.dial(), machine.reached(), machine.accepted(), machine.moved())
        #expect(machine.failures == 0)
        other.restart()
        #expect(other.failures == 0)
    }

    @Test("another version at the same address is no failure, and a better address takes the place of a good one")
    func others() {
        var machine = Self.machine(.handshaking)
        machine.triesAgain()
        let isDialled = machine.dial()
        #expect(isDialled && machine.failures == 0)
        machine = Self.machine(.moving)
        machine.triesAgain()
        #expect(machine.phase == .moving)
        machine.moves()
        #expect(machine.phase == .handshaking)
    }
}

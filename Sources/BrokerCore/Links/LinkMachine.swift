/// The life of a link: where it stands, and what follows from what happens to it. It knows no packets, no timers and no
/// clock, so that a test can go through all of it.
///
///     disabled <-> idle -> dialing -> handshaking -> probing -> moving
///                            ^            |             |          |
///                            |            +-------------+----------+   lost, refused, stalled
///                            +-- waiting <--------------+
package struct LinkMachine: Sendable, Equatable {
    /// What users read.
    package enum State: String, Sendable, CaseIterable {
        /// Somebody stopped it, or it is started by hand and nobody did.
        case disabled
        /// It has no reason to be connected now.
        case idle
        case connecting
        /// The upstream accepted us; whether anything moves is not known yet.
        case probing
        case live
        /// Connected and moving, with something left behind.
        case catchingUp = "catching up"
        /// The upstream took the connection and moved nothing over it.
        case stalled
        /// The upstream said no.
        case refused
        case backingOff = "backing off"
        /// Somebody holds its queue: nothing goes out until it is resumed.
        case paused
    }

    package enum Phase: Sendable, Equatable {
        case disabled
        case idle
        case dialing
        case handshaking
        case probing
        case moving
        case waiting(Failure)
    }

    /// Why a connection, or the try to have one, is over.
    package enum Failure: Sendable, Equatable {
        /// Nobody there, or gone.
        case lost
        /// There, and nothing moves.
        case stalled
        /// CONNACK says no. What it says no to is settled by people, unless it is only for the moment.
        case refused(isTemporary: Bool)
    }

    /// How long to wait before the next try.
    package enum Pause: Sendable, Equatable {
        case none
        case backOff
        /// As long as back-off gets: trying harder changes nothing.
        case longest
    }

    package private(set) var phase = Phase.idle
    /// Held by an operator; independent of the connection, which goes on.
    package var isPaused = false
    /// Failures in a row.
    package private(set) var failures = 0

    package init() {}

    /// - Parameter isBehind: whether something waits that was not sent.
    package func state(isBehind: Bool) -> State {
        if isPaused, phase != .disabled { return .paused }
        return switch phase {
        case .disabled: .disabled
        case .idle: .idle
        case .dialing, .handshaking: .connecting
        case .probing: .probing
        case .moving: isBehind ? .catchingUp : .live
        case .waiting(.lost): .backingOff
        case .waiting(.stalled): .stalled
        case .waiting(.refused): .refused
        }
    }

    /// Whether the upstream has accepted us.
    package var isConnected: Bool { phase == .probing || phase == .moving }

    /// - Returns: false when there is nothing to dial for: stopped, or there already.
    package mutating func dial() -> Bool {
        switch phase {
        case .idle, .waiting:
            phase = .dialing
            return true
        case .disabled, .dialing, .handshaking, .probing, .moving: return false
        }
    }

    /// The address is there, and has to be asked in another way: that is no failure.
    package mutating func triesAgain() {
        if phase == .handshaking { phase = .idle }
    }

    /// Another connection, to a better address, takes the place of the one that was, and waits for CONNACK.
    package mutating func moves() { phase = .handshaking }

    /// An address took the connection.
    package mutating func reached() -> Bool {
        guard phase == .dialing else { return false }
        phase = .handshaking
        return true
    }

    /// CONNACK says yes.
    package mutating func accepted() -> Bool {
        guard phase == .handshaking else { return false }
        phase = .probing
        return true
    }

    /// Something moved.
    package mutating func moved() -> Bool {
        guard phase == .probing else { return false }
        phase = .moving
        failures = 0
        return true
    }

    /// The connection is over, or there is none.
    ///
    /// - Parameter hasNext: whether there is another address that was not tried yet: every one gets its try before anybody
    ///   waits.
    /// - Returns: nil when there was nothing to fail.
    package mutating func failed(_ failure: Failure, hasNext: Bool) -> Pause? {
        switch phase {
        case .disabled, .idle, .waiting: return nil
        case .dialing, .handshaking, .probing, .moving: phase = .waiting(failure)
        }
        failures += 1
        if hasNext { return Pause.none }
        return failure == .refused(isTemporary: false) ? .longest : .backOff
    }

    /// No reason to be connected any more, or not yet.
    package mutating func rest() {
        guard phase != .disabled else { return }
        phase = .idle
        failures = 0
    }

    package mutating func disable() { phase = .disabled }

    /// Anew, under other settings or because somebody says so.
    package mutating func restart() {
        phase = .idle
        failures = 0
    }
}

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
    /// Addresses that the upstream may be reached at.
    package var addressCount = 1 {
        didSet { addressCount = max(1, addressCount) }
    }
    /// Tries since an upstream was last good; picks among the addresses.
    package private(set) var attempt = 0
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

    /// - Returns: the number of the try, or nil when it is none: stopped, or there already.
    package mutating func dial() -> Int? {
        switch phase {
        case .idle, .waiting:
            phase = .dialing
            attempt += 1
            return attempt - 1
        case .disabled, .dialing, .handshaking, .probing, .moving: return nil
        }
    }

    /// The address speaks another version: it is tried again.
    package mutating func again() {
        if phase != .disabled { phase = .idle }
    }

    /// A connection that was tried beside the link's own takes its place: its CONNACK is waited for.
    package mutating func tookOver() {
        if phase != .disabled { phase = .handshaking }
    }

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
    /// - Returns: nil when there was nothing to fail.
    package mutating func failed(_ failure: Failure) -> Pause? {
        let before = phase
        switch phase {
        case .disabled, .idle, .waiting: return nil
        case .dialing, .handshaking, .probing, .moving: phase = .waiting(failure)
        }
        if before == .moving, failure == .lost {
            // It was good: back to the address that is preferred, but not with all the others at the same moment.
            attempt = 0
            failures = 1
            return .backOff
        }
        failures += 1
        // Every address gets its try before anybody waits.
        if failures % addressCount != 0 { return Pause.none }
        if failure == .refused(isTemporary: false) { return .longest }
        return .backOff
    }

    /// No reason to be connected any more, or not yet.
    package mutating func rest() {
        guard phase != .disabled else { return }
        phase = .idle
        (attempt, failures) = (0, 0)
    }

    package mutating func disable() { phase = .disabled }

    /// Anew, under other settings or because somebody says so.
    package mutating func restart() {
        phase = .idle
        (attempt, failures) = (0, 0)
    }
}

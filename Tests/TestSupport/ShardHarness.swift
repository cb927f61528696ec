package import BrokerCore
package import MQTTCodec
import NIOCore

/// Drives a `Shard` as the server's runner does, with a clock that is advanced by hand and a spool that commits when
/// the test says so. One turn is performed after every event.
///
/// A crash is asked for with `crashesAfter`: from that step on nothing leaves the shard and nothing reaches the disk.
package final class ShardHarness {
    package private(set) var shard: Shard
    package let spool = SimulatedSpool()
    package private(set) var settings: BrokerSettings
    package private(set) var now: Now
    /// Commits after every turn, for chapters that are not about the disk.
    package var commitsAtOnce: Bool
    package var notices: [Notice] = []
    package var receipts: [Outbox.Receipt] = []
    /// What the shard booked, when it was asked to.
    package private(set) var ledger: [LedgerLine] = []
    package var books: LedgerBalance { LedgerBalance(ledger) }
    /// What operators wanted and is done.
    package var errands: [UInt64] = []
    package var dials: [Outbox.Dial] = []
    /// Logins that nobody has decided yet.
    package var questions: [AuthenticationRequest] = []
    /// Decides logins in their turn; nil leaves them in `questions`.
    package var authenticates: ((Login) -> AuthenticationVerdict)?

    /// Steps of the runner so far: an append, a flush, a commit on disk, a commit that was told.
    package private(set) var steps = 0
    package var crashesAfter = Int.max
    package private(set) var hasCrashed = false

    private var peers: [ObjectIdentifier: ScriptedPeer] = [:]
    private var seed: UInt64 = 7

    package init(_ settings: BrokerSettings = BrokerSettings(), commitsAtOnce: Bool = true) {
        self.settings = settings
        self.commitsAtOnce = commitsAtOnce
        let now = Now(
            instant: Instant(nanoseconds: 1_000_000_000),
            wall: Timestamp(microseconds: 1_800_000_000_000_000)
        )
        self.now = now
        shard = Shard(settings: settings, contents: spool.contents(), seed: 7, now: now)
        turn()
    }

    // MARK: - Peers

    /// A client's network connection, without CONNECT.
    package func opens(_ version: ProtocolVersion = .v5) -> ScriptedPeer {
        opens(version, address: nil, certificateName: nil)
    }

    /// The same by a door of its own.
    package func opens(_ version: ProtocolVersion, door: Door) -> ScriptedPeer {
        adopt(shard.opened(peer: "test", door: door, now: now), version, role: .client)
    }

    package func opens(_ version: ProtocolVersion, address: NetworkAddress?, certificateName: String? = nil)
        -> ScriptedPeer
    {
        let connection = shard.opened(peer: "test", address: address, certificateName: certificateName, now: now)
        return adopt(connection, version, role: .client)
    }

    /// The upstream answers the oldest dial.
    package func accepts(_ dial: Outbox.Dial) -> ScriptedPeer? {
        // Older ones of the link are not wanted any more.
        let dial = dials.last { $0.link === dial.link } ?? dial
        dials.removeAll { $0.link === dial.link }
        guard let connection = shard.dialed(dial.link, epoch: dial.epoch, peer: "upstream", now: now) else {
            return nil
        }
        let peer = adopt(connection, connection.version, role: .server)
        turn()
        return peer
    }

    package func refuses(_ dial: Outbox.Dial) {
        let dial = dials.last { $0.link === dial.link } ?? dial
        dials.removeAll { $0.link === dial.link }
        shard.dialFailed(dial.link, epoch: dial.epoch, reason: "nobody there", now: now)
        turn()
    }

    private func adopt(_ connection: Connection, _ version: ProtocolVersion, role: PacketDecoder.Role) -> ScriptedPeer {
        let peer = ScriptedPeer(self, connection, version, role: role)
        peers[ObjectIdentifier(connection)] = peer
        return peer
    }

    /// The verdict on a login comes in.
    package func answers(_ question: AuthenticationRequest, _ verdict: AuthenticationVerdict) {
        questions.removeAll { $0.token == question.token }
        perform { shard, now in shard.authenticated(question.token, verdict, now: now) }
    }

    func feeds(_ peer: ScriptedPeer) {
        guard !hasCrashed else { return }
        while readsPacket(of: peer) { turn() }
    }

    /// One packet of what a peer sent enters the shard, or what is wrong with it.
    private func readsPacket(of peer: ScriptedPeer) -> Bool {
        guard !peer.isClosed, !peer.connection.isHeld, peer.connection.state != .closing else { return false }
        do throws(DecodeError) {
            guard let packet = try peer.takeUnread() else { return false }
            shard.received(packet, on: peer.connection, now: now)
        } catch {
            shard.decodeFailed(error, version: peer.reader.version, on: peer.connection, now: now)
        }
        return true
    }

    func cuts(_ peer: ScriptedPeer) {
        guard !hasCrashed, peers.removeValue(forKey: ObjectIdentifier(peer.connection)) != nil else { return }
        peer.isClosed = true
        shard.closed(peer.connection, now: now)
        turn()
    }

    // MARK: - Events

    package func perform(_ event: (Shard, Now) -> Void) {
        guard !hasCrashed else { return }
        event(shard, now)
        turn()
    }

    /// Other settings, which a restart keeps.
    package func reconfigures(redialing: Set<MQTTString> = [], _ change: (inout BrokerSettings) -> Void) {
        change(&settings)
        perform { shard, now in shard.reconfigure(settings, redialing: redialing, now: now) }
    }

    /// Time passes on both clocks; timers fire when they are due, one instant after the other.
    package func advance(_ duration: Duration) {
        let end = now.instant.advanced(by: duration)
        while let due = shard.nextTimer, due <= end, !hasCrashed {
            set(max(due, now.instant))
            shard.timeReached(now)
            turn()
        }
        set(end)
    }

    private func set(_ instant: Instant) {
        let (seconds, attoseconds) = instant.since(now.instant).components
        let microseconds = UInt64(seconds) * 1_000_000 + UInt64(attoseconds) / 1_000_000_000_000
        now = Now(instant: instant, wall: Timestamp(microseconds: now.wall.microseconds + microseconds))
    }

    /// Commits what was appended, once: what the shard stores because of it waits for the next commit.
    package func commit(batches: Int = .max) {
        guard !hasCrashed, spool.hasPending else { return }
        let events = spool.commit(batches: batches)
        guard step() else { return }
        shard.spoolReported(events, now: now)
        guard step() else { return }
        turn()
    }

    /// Commits until nothing waits.
    package func settle() {
        while !hasCrashed, spool.hasPending { commit() }
    }

    /// The process dies and starts again with what is on disk. Peers notice that their connections are gone.
    package func restarts() {
        for peer in peers.values { peer.isClosed = true }
        peers.removeAll()
        spool.crash()
        hasCrashed = false
        crashesAfter = .max
        notices.removeAll()
        receipts.removeAll()
        errands.removeAll()
        dials.removeAll()
        questions.removeAll()
        seed += 1
        shard = Shard(settings: settings, contents: spool.contents(), seed: seed, now: now)
        turn()
    }

    // MARK: - The turn of a runner

    private func step() -> Bool {
        steps += 1
        if steps >= crashesAfter { hasCrashed = true }
        return !hasCrashed
    }

    private func turn() {
        guard !hasCrashed else { return }
        repeat {
            guard appends(), flushes() else { return }
            closes()
        } while !shard.outbox.isEmpty
        if commitsAtOnce { settle() }
    }

    private func appends() -> Bool {
        while !shard.outbox.records.isEmpty || !shard.outbox.loads.isEmpty {
            let (records, loads) = (shard.outbox.records, shard.outbox.loads)
            shard.outbox.records.removeAll(keepingCapacity: true)
            shard.outbox.loads.removeAll(keepingCapacity: true)
            let ticket = records.isEmpty ? Ticket(shard.ticket.number - 1) : shard.ticket
            let first = spool.append(records, loads, ticket: ticket)
            guard step() else { return false }
            if !records.isEmpty { shard.appended(first: first, now: now) }
        }
        return true
    }

    private func flushes() -> Bool {
        let touched = shard.outbox.touched
        shard.outbox.touched.removeAll(keepingCapacity: true)
        for connection in touched {
            peers[ObjectIdentifier(connection)]?.arrived(shard.takeBytes(of: connection).joined)
        }
        return touched.isEmpty || step()
    }

    private func closes() {
        let closes = shard.outbox.closes
        shard.outbox.closes.removeAll(keepingCapacity: true)
        for connection in closes {
            guard let peer = peers.removeValue(forKey: ObjectIdentifier(connection)) else { continue }
            peer.isClosed = true
            shard.closed(connection, now: now)
        }
        let resumed = shard.outbox.resumed
        shard.outbox.resumed.removeAll(keepingCapacity: true)
        shard.outbox.changedLinks.removeAll(keepingCapacity: true)
        notices += shard.outbox.notices
        shard.outbox.notices.removeAll(keepingCapacity: true)
        ledger += shard.outbox.ledger
        shard.outbox.ledger.removeAll(keepingCapacity: true)
        receipts += shard.outbox.receipts
        shard.outbox.receipts.removeAll(keepingCapacity: true)
        errands += shard.outbox.errands
        shard.outbox.errands.removeAll(keepingCapacity: true)
        dials += shard.outbox.dials
        shard.outbox.dials.removeAll(keepingCapacity: true)
        let asked = shard.outbox.questions
        shard.outbox.questions.removeAll(keepingCapacity: true)
        for question in asked {
            if let authenticates {
                shard.authenticated(question.token, authenticates(question.login), now: now)
            } else {
                questions.append(question)
            }
        }
        for connection in resumed {
            guard let peer = peers[ObjectIdentifier(connection)] else { continue }
            while readsPacket(of: peer) {}
        }
    }
}

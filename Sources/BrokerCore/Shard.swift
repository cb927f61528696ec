import DequeModule
package import MQTTCodec
package import NIOCore

/// The broker itself: its connections, its sessions, its routes, its timers. Whoever runs it is alone with it.
///
/// A shard is a function: every event enters here and nowhere else, with the time as an argument, and what is to be
/// done is left in `outbox`. It does no I/O, asks for no clock and throws no dice but its seeded ones.
///
/// One turn, as the runner performs it: events ... -> `appended` (if there are records) -> send -> close. Everything
/// that a turn stores carries the turn's `ticket`; `spoolReported(.committed(ticket))` releases what waits for it.
package final class Shard {
    /// A running shard takes others by `reconfigure(_:redialing:now:)`.
    package internal(set) var settings: BrokerSettings {
        didSet {
            ownDoor = Door(settings.clientLimits)
            memoryMarks = LevelMarks(settings)
            router.foldsOverlapping = settings.overlapping == .one
        }
    }
    /// When queues in memory raise an alarm.
    private(set) var memoryMarks: LevelMarks
    /// For connections whose door has no limits of its own.
    private(set) var ownDoor: Door
    package var outbox = Outbox()
    /// What the records in the outbox will be appended under.
    package private(set) var ticket = Ticket(1)

    var gate = AckGate()
    private(set) var backlog: SpoolBacklog
    /// Connections that are not read from until the spool has caught up.
    private var waitingForSpool: [Connection] = []
    /// Messages of this turn's records, in their order.
    var stored: [StoredMessage] = []
    /// True when one of them is of QoS 2.
    var storesExactlyOnce = false

    package internal(set) var access: AccessRules
    var denials = DenialLog()
    /// Who published over HTTP lately.
    var gatewaySubjects: [Principal: AccessSubject] = [:]
    let router = Router()
    package internal(set) var retained = RetainedMessages()
    var tombstones = RetainedTombstones()
    var sessions: [Session?] = []
    private var freeSlots: [Int32] = []
    var directory: [MQTTString: Session] = [:]
    /// Durable sessions and links by the number under which the spool knows them.
    var receivers: [ReceiverID: Session] = [:]
    /// The receivers of share groups by the filter of their members.
    var groups: [MQTTString: Session] = [:]
    /// How many of `receivers` are share groups.
    var durableGroups = 0
    /// The time of the event that CONNACK may leave with.
    var latest: Now
    var timers = TimerQueue()
    /// Set while something waits in memory that may grow too old.
    var agesTimer: TimerQueue.Token?
    var random: RandomSource
    var ids: MessageIDSource
    /// For what is published here on top of a value from a clock that is ahead.
    var risenIDs: MessageIDSource
    var nextReceiver: UInt64
    package internal(set) var links: [Link] = [] {
        didSet { namesPublishers = links.contains(where: \.namesPublishers) }
    }
    /// Whether any link names messages after their publishers.
    private(set) var namesPublishers = false
    /// Links that are not configured any more, by name: their queues stay in the spool until they are named again.
    var sleepingLinks: [MQTTString: Link] = [:]
    /// What came over links, so that it comes once.
    var streams = StreamWindows()
    var seen = SeenMessages()
    package internal(set) var connectionCount = 0
    /// Clients that got CONNACK and are there, and the most of them at the same time.
    package internal(set) var clientsConnected = 0
    var clientsMaximum = 0
    let startedAt: Instant
    /// When `$SYS` was last told.
    var reportedAt: Instant
    var load = LoadAverages()
    package internal(set) var counters = Counters()
    /// Connections that are being asked about, by the token of the question; one for each, so bounded by them.
    var asked: [UInt64: Connection] = [:]
    var lastQuestion: UInt64 = 0
    var isDraining = false
    /// Why the spool takes no new messages; nil when it does.
    package internal(set) var spoolRefusal: SpoolRefusal?
    /// Receivers that refuse.
    var fullReceivers = 0
    /// The spool as a whole is above its watermark.
    var isSpoolHigh = false
    var alarmLog = DenialLog()
    /// Alarms that are raised now.
    package internal(set) var alarms = 0
    /// Who had no room for the message that was looked at last; nil when it was the spool.
    weak var fullSession: Session?
    /// Connections whose `stalled` message waits for room.
    var stalledConnections: [Connection] = []
    var isRetrying = false
    /// The last turn that stored a message whose answer waits for it.
    var lastDemanded = Ticket.none
    private var spares: [ByteBuffer] = []
    private static let sparesMax = 256
    private static let spareBytesMax = 128 << 10

    /// - Parameters:
    ///   - contents: what the spool held when it was opened.
    ///   - seed: for everything that looks random.
    package init(settings: BrokerSettings, contents: SpoolContents, seed: UInt64, now: Now) {
        self.settings = settings
        self.ownDoor = Door(settings.clientLimits)
        self.memoryMarks = LevelMarks(settings)
        self.access = settings.access
        self.backlog = SpoolBacklog(bytesMax: settings.spoolBacklogBytesMax)
        self.random = RandomSource(seed: seed)
        self.ids = MessageIDSource(
            node: contents.nodeNumber, run: contents.bootCount, mark: contents.wallMark, wall: now.wall)
        self.risenIDs = MessageIDSource(beside: self.ids)
        self.nextReceiver = contents.nextReceiver.number
        self.latest = now
        self.startedAt = now.instant
        self.reportedAt = now.instant
        router.foldsOverlapping = settings.overlapping == .one
        router.mayReceive = { [unowned self] slot, topic in mayReceive(slot: slot, topic) }
        for (stream, ids) in contents.streams { for id in ids { streams.insert(id, of: stream) } }
        restore(contents, now)
    }

    /// The runner has appended the records of this turn under `ticket`. Messages get their positions and go to the
    /// receivers that are live.
    ///
    /// - Parameter first: position of the first message record of the turn.
    package func appended(first: Position, now: Now) {
        let appendedTicket = ticket
        ticket = Ticket(ticket.number &+ 1)
        backlog.appended(appendedTicket)
        let batch = stored
        stored.removeAll(keepingCapacity: true)
        storesExactlyOnce = false
        var receivers = Told()
        for (offset, message) in batch.enumerated() {
            var message = message
            message.position = Position(first.number &+ UInt64(offset))
            if offset == 0 || message.audience !== batch[offset - 1].audience {
                receivers = tell(message.audience, of: batch[offset...], first: message.position)
            }
            if settings.keepsLedger { bookStored(message) }
            // QoS 2 is delivered after the commit, and so is what came from another node and goes on to a further one: that
            // one does not send it back, so what a crash made this one forget would come late, behind what followed it.
            // Whatever follows a message that waits queues behind it, so that receivers see positions grow.
            if message.message.qos == .exactlyOnce || gate.deliveries > 0 || message.isCarried
                || message.message.mark != nil && receivers.haveNodes
            {
                gate.hold(.deliver(message), until: appendedTicket)
            } else {
                deliver(message, live: receivers.live, now)
            }
        }
        guard settings.durability == .off else { return }
        // Without durability nothing waits for the disk; what a rule demands still does, and what follows queues behind.
        if lastDemanded <= gate.committed { gate.commit(appendedTicket) }
        releaseHeld(now)
    }

    /// Whether the outbox holds anything, without taking a copy of it.
    package var hasWork: Bool { !outbox.isEmpty }

    /// Durable receivers of an audience.
    private struct Told {
        /// Those that may get a message now, by index: those that are live, and links.
        var live: [Int] = []
        /// Whether some of them are other nodes.
        var haveNodes = false
    }

    /// Tells an audience of the messages that begin the rest of a turn and are all for it, so that a room of a thousand
    /// is looked through once a turn and not once a message.
    private func tell(_ audience: Audience, of rest: ArraySlice<StoredMessage>, first: Position) -> Told {
        let count = rest.prefix { $0.audience === audience }.count
        let last = Position(first.number &+ UInt64(count - 1))
        var told = Told()
        for (index, session) in audience.durable.enumerated() {
            session.told = max(session.told, last)
            if session.flow == .live || session.link != nil { told.live.append(index) }
            if session.link != nil || session.connection?.carriesMarks == true { told.haveNodes = true }
        }
        return told
    }

    private func bookStored(_ stored: StoredMessage) {
        for (session, delivery) in zip(stored.audience.durable, stored.audience.deliveries) {
            guard !session.isEnded else {
                // It ended in the turn that stored this.
                book(.discarded, session, stored.message)
                continue
            }
            book(
                .stored,
                session,
                stored.message,
                delivery.qos,
                isRetained: delivery.isRetained,
                delivery.subscriptionIdentifiers,
                at: stored.position
            )
        }
    }

    /// When the next timer is due.
    package var nextTimer: Instant? { timers.next }
    /// How many timers are kept, for whoever wants to see that they are bounded.
    package var timerCount: Int { timers.count }

    package func timeReached(_ now: Now) {
        while let event = timers.popDue(now.instant) {
            switch event {
            case .connection(let connection): checkDeadline(of: connection, now)
            case .absence(let session): absenceEnded(session, now)
            case .link(let link): linkTimer(link, now)
            case .linkReturn(let link): returnTimer(link, now)
            case .catchUp(let link): catchUpIsDue(of: link, now)
            case .replay(let session):
                session.replayTimer = nil
                feed(session, now)
            case .ages: giveUpAged(now)
            case .level(let session): levelIsDue(of: session, now)
            }
        }
    }

    // MARK: - What every chapter needs

    /// A place in the tables for a new session.
    func takeSlot() -> Int32 {
        if let slot = freeSlots.popLast() { return slot }
        sessions.append(nil)
        return Int32(sessions.count - 1)
    }

    func freeSlot(_ slot: Int32) {
        sessions[Int(slot)] = nil
        freeSlots.append(slot)
    }

    func newReceiver() -> ReceiverID {
        defer { nextReceiver &+= 1 }
        return ReceiverID(nextReceiver)
    }

    /// The ticket under which everything that was stored so far is, or will be, appended.
    var lastTicket: Ticket { outbox.records.isEmpty ? Ticket(ticket.number &- 1) : ticket }

    func firstPacketID() -> UInt16 { UInt16.random(in: 1...UInt16.max, using: &random) }

    func store(_ record: SpoolRecord) {
        backlog.stored(record)
        outbox.records.append(record)
    }

    /// A packet made the shard store something while the spool is behind: its sender is read from again when that has
    /// caught up. Whoever only acknowledges or publishes nothing durable goes on.
    func holdForSpool(_ connection: Connection) {
        guard backlog.isBehind, connection.isOpen, !connection.isHeld else { return }
        connection.isHeld = true
        waitingForSpool.append(connection)
    }

    func touch(_ connection: Connection) {
        guard !connection.isTouched else { return }
        connection.isTouched = true
        outbox.touched.append(connection)
        if let spare = spares.popLast() { connection.out = OutBytes(spare) }
    }

    /// The runner takes what is to be sent to a touched connection.
    package func takeBytes(of connection: Connection) -> OutBytes {
        connection.isTouched = false
        let bytes = connection.out
        counters.bytesSent &+= UInt64(truncatingIfNeeded: bytes.readableBytes)
        connection.out = OutBytes()
        return bytes
    }

    /// The runner gives back a buffer whose bytes are out, so that an idle connection holds none and a busy one
    /// allocates none.
    package func recycle(_ buffer: consuming ByteBuffer) {
        guard spares.count < Self.sparesMax, buffer.storageCapacity <= Self.spareBytesMax else { return }
        buffer.clear()
        spares.append(buffer)
    }

    /// Sends a packet that waits for nothing and queues behind nothing. A packet over the peer's Maximum Packet Size
    /// loses its Reason String [5:MQTT-3.2.2-19] [5:MQTT-3.4.2-2] [5:MQTT-3.5.2-2] [5:MQTT-3.9.2-1] [5:MQTT-3.14.2-3];
    /// if that is not enough it is not sent [5:MQTT-3.1.2-24].
    ///
    /// - Returns: whether it is on its way.
    @discardableResult
    func send(_ packet: Packet, on connection: Connection) -> Bool {
        guard connection.state != .closing else { return false }
        if connection.packetBytesMax != .max,
            PacketEncoder.size(of: packet, version: connection.version) > connection.packetBytesMax
        {
            guard let shorter = packet.withoutReasonString else { return false }
            return send(shorter, on: connection)
        }
        touch(connection)
        counters.answersSent &+= 1
        return PacketEncoder.write(packet, version: connection.version, into: &connection.out.rest)
    }

    /// Sends an answer when its ticket is on disk, never before an earlier answer of the same connection: PUBACK,
    /// PUBREC and PUBREL leave in the order in which what they answer came [5:MQTT-4.6.0-2] [5:MQTT-4.6.0-3]
    /// [5:MQTT-4.6.0-4].
    ///
    /// - Parameter ticket: `.none` when the answer itself waits for nothing.
    func answer(_ packet: Packet, on connection: Connection, after ticket: Ticket) {
        let wait = max(ticket, connection.lastTicket)
        // The gate lets go in the order in which it was asked: answers of this connection may still be in it, behind
        // somebody else's, although their ticket is on disk.
        guard wait > gate.committed || !connection.answers.isEmpty else {
            answerNow(packet, on: connection)
            return
        }
        connection.lastTicket = wait
        connection.answers.append(Connection.Answer(ticket: wait, packet: packet))
        if case .subAck = packet { connection.heldSubAcks += 1 }
        gate.hold(.answer(connection), until: wait)
        if connection.answers.count >= settings.heldAnswersMax { connection.isHeld = true }
    }

    private func answerNow(_ packet: Packet, on connection: Connection) {
        switch packet {
        case .pubAck, .pubComp: connection.unanswered = max(0, connection.unanswered - 1)
        case .pubRec(let ack) where ack.reason.isFailure:
            connection.unanswered = max(0, connection.unanswered - 1)
        default: break
        }
        let isSent = send(packet, on: connection)
        guard case .connAck = packet else { return }
        // Who takes not even CONNACK can be told nothing at all.
        if isSent { connAckSent(on: connection) } else { close(connection, reason: nil) }
    }

    // MARK: - What the spool tells

    package func spoolReported(_ events: [SpoolEvent], now: Now) {
        for event in events {
            switch event {
            case .committed(let ticket):
                gate.commit(ticket)
                backlog.committed(ticket)
                releaseHeld(now)
                if !backlog.isBehind { releaseWaitingForSpool() }
            case .loaded(let page):
                if let session = receivers[page.receiver] { loaded(page, for: session, now) }
            case .dropped(let receiver, let messages): dropped(messages, of: receiver, now)
            case .refusing(let refusal): refusalChanged(refusal, now)
            case .full(let receiver, let isFull): fullnessChanged(of: receiver, isFull: isFull, now)
            case .level(let receiver, let level): levelChanged(of: receiver, level, now)
            }
        }
    }

    /// Says that messages were dropped: at once when it begins, then once in a while for as long as it goes on. A room
    /// that somebody left for good drops with every commit, and would fill the log.
    private func dropped(_ messages: Int, of receiver: ReceiverID, _ now: Now) {
        guard let session = receivers[receiver] else { return }
        session.dropsUntold += messages
        guard now.instant >= session.nextDropNotice else { return }
        outbox.notices.append(
            Notice(
                .warning,
                "messages dropped",
                clientID: session.link == nil ? session.clientID : nil,
                link: session.link?.settings.name,
                detail: "\(session.dropsUntold) since this was said last; `drawbridge ctl drops` says why"
            )
        )
        session.dropsUntold = 0
        session.nextDropNotice = now.instant.advanced(by: Self.dropNoticeInterval)
    }

    private static let dropNoticeInterval = Duration.seconds(60)

    private func releaseHeld(_ now: Now) {
        latest = now
        while let held = gate.release() {
            switch held {
            case .answer(let connection):
                guard let answer = connection.answers.popFirst() else { continue }
                answerNow(answer.packet, on: connection)
                if case .subAck = answer.packet {
                    connection.heldSubAcks -= 1
                    if let session = connection.session, !session.replay.isEmpty { feed(session, now) }
                }
                if !backlog.isBehind { releaseIfReady(connection) }
            case .deliver(let message):
                deliver(message, now)
            case .publish(let session, let packetID, let message, let delivery, let epoch):
                publishCommitted(session, packetID: packetID, message, delivery, epoch: epoch, now)
            case .receipt(let receipt):
                outbox.receipts.append(receipt)
            case .errand(let token): outbox.errands.append(token)
            }
        }
    }

    private func releaseWaitingForSpool() {
        let waiting = waitingForSpool
        waitingForSpool.removeAll()
        for connection in waiting { releaseIfReady(connection) }
    }

    func releaseIfReady(_ connection: Connection) {
        guard connection.isHeld, connection.isOpen, !isFullOfStalled(connection),
            connection.answers.count <= settings.heldAnswersMax / 2
        else {
            return
        }
        release(connection)
    }

    /// Reading from the connection goes on.
    func release(_ connection: Connection) {
        guard connection.isHeld else { return }
        connection.isHeld = false
        connection.wasHeld = true
        outbox.resumed.append(connection)
    }
}

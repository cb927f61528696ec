import BrokerServer
import Logging
import MQTTCodec
import NIOCore
import NIOPosix
import TestSupport

/// Many clients that all take themselves for the same few, and throw one another out for as long as the fight lasts,
/// while messages of all QoS come for them:
///
/// ```
/// founding --sessions and subscriptions stand--> fighting --time is up--> clearing --nobody is left, all is answered-->
/// inheriting --what was promised has come--> over
/// ```
///
/// All of them live on one event loop, so that what happened first at the clients is known.
final class TakeoverFight {
    struct Settings: Sendable {
        var clients = 200
        var ids = 4
        var duration = TimeAmount.seconds(3)
        /// How many are on their way to the broker at a time; the others wait for their turn.
        var claimingMax = 100
        var messagesPerSecond = 600
        var seed: UInt64 = 1
    }

    struct Outcome: Sendable {
        /// Connections that the broker accepted.
        var accepted = 0
        /// Of those that it told that somebody else is there.
        var thrownOut = 0
        var published = 0
        var heard = 0
        /// What must not be.
        var complaints: [String] = []
    }

    private enum Phase { case founding, fighting, clearing, inheriting, over }

    private static let seconds = UInt32(3600)
    private static let tick = TimeAmount.milliseconds(20)
    /// Unanswered messages of the herald.
    private static let windowMax = 200
    private static let patience = TimeAmount.seconds(120)
    /// Connections of each id, on the average.
    static let acceptedMin = 12
    private static let population: MQTTString = "$SYS/broker/clients/connected"

    private let settings: Settings
    private let bootstrap: ClientBootstrap
    private let address: SocketAddress
    private let loop: any EventLoop
    private let promise: EventLoopPromise<Outcome>
    private var random: SeededGenerator
    private var phase = Phase.founding
    /// Grows with everything that happens here.
    private var moment = 0
    private var records: [FightRecord]
    private var outcome = Outcome()
    /// Fighters whose turn will come.
    private var waiting: [Int]
    private var open: [ObjectIdentifier: FightConnection] = [:]
    private var claiming = 0
    private var founded = 0
    /// Fighters that were gone before they had an answer, by id: the broker may read the CONNECT of the last ones when
    /// the fight is over, and throws out the heir for it.
    private var ghosts: [Int]
    private var inherited: Set<Int> = []
    private var herald: FightConnection?
    private var unanswered: [UInt16: (id: Int, message: FightRecord.Message)] = [:]
    private var lastPacketID: UInt16 = 0
    private var published: [QoS: Int] = [:]
    private var began = NIODeadline.distantPast

    private init(_ settings: Settings, _ address: SocketAddress, _ loop: any EventLoop) {
        self.settings = settings
        self.address = address
        self.loop = loop
        bootstrap = ClientBootstrap(group: loop).connectTimeout(Self.patience)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        promise = loop.makePromise()
        random = SeededGenerator(seed: settings.seed)
        records = (0..<settings.ids).map { FightRecord(name: "c\($0)") }
        waiting = Array(0..<settings.clients)
        ghosts = Array(repeating: 0, count: settings.ids)
    }

    /// - Parameter port: of a broker on this machine, which nobody else uses.
    static func run(_ settings: Settings, port: Int) async throws -> Outcome {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: port)
        let outcome = try await loop.flatSubmit {
            let fight = TakeoverFight(settings, address, loop)
            fight.begin()
            return fight.promise.futureResult
        }.get()
        try await group.shutdownGracefully()
        return outcome
    }

    // MARK: - The course of it

    private func begin() {
        for id in 0..<settings.ids { dial(.founder, id: id) }
        dial(.herald, id: 0)
        let limit = settings.duration + Self.patience + Self.patience
        loop.assumeIsolated().scheduleTask(in: limit) {
            guard self.phase != .over else { return }
            self.complain("\(self.phase) takes too long: \(self.open.count) open, \(self.unanswered.count) unanswered")
            self.end()
        }
    }

    /// Looks whether the next phase can begin.
    func proceed() {
        switch phase {
        case .founding where founded == settings.ids && herald != nil:
            phase = .fighting
            began = loop.now
            claim()
            publish()
            loop.assumeIsolated().scheduleTask(in: settings.duration) { self.clearWhenFought() }
        case .clearing where open.count == 1 && unanswered.isEmpty:
            phase = .inheriting
            for id in 0..<settings.ids { dial(.heir, id: id) }
        case .inheriting where inherited.count == settings.ids: end()
        case .founding, .fighting, .clearing, .inheriting, .over: break
        }
    }

    /// A sanitizer on a busy machine needs longer until it was a fight.
    private func clearWhenFought() {
        guard outcome.accepted < Self.acceptedMin * settings.ids, phase == .fighting else { return clear() }
        loop.assumeIsolated().scheduleTask(in: Self.tick) { self.clearWhenFought() }
    }

    private func clear() {
        phase = .clearing
        for connection in open.values where connection !== herald { connection.close() }
        // What comes while nobody is there waits for the heirs.
        for id in 0..<settings.ids { publish(to: id, .atLeastOnce) }
        proceed()
    }

    private func end() {
        guard phase != .over else { return }
        phase = .over
        for (index, record) in records.enumerated() {
            outcome.complaints += record.complaints
            for (qos, numbers) in record.missing.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                complain("c\(index): \(numbers.count) promised of \(qos) never came, the first \(numbers.min() ?? 0)")
            }
        }
        for connection in open.values { connection.close() }
        promise.succeed(outcome)
    }

    func complain(_ text: String) { outcome.complaints.append(text) }

    // MARK: - Who comes and goes

    /// As many as may be on their way, whoever they are.
    private func claim() {
        while phase == .fighting, claiming < settings.claimingMax, !waiting.isEmpty {
            waiting.swapAt(random.below(waiting.count), waiting.count - 1)
            let fighter = waiting.removeLast()
            claiming += 1
            dial(.fighter(habit()), id: fighter % settings.ids, fighter: fighter)
        }
    }

    private func habit() -> FightConnection.Habit {
        random.oneIn(4) ? FightConnection.Habit.allCases[random.below(FightConnection.Habit.allCases.count)] : .stays
    }

    private func dial(_ role: FightConnection.Role, id: Int, fighter: Int = -1) {
        // A device and its successor need not speak the same version.
        let isOld = fighter % 4 == 3
        let name: MQTTString = role == .herald ? "herald" : MQTTString("c\(id)")
        var connect = Connect(version: isOld ? .v3_1_1 : .v5, clientID: name, cleanStart: role == .herald)
        if !isOld { connect.properties.sessionExpiryInterval = role == .herald ? 0 : Self.seconds }
        let connection = FightConnection(role, id: id, fighter: fighter, connect, fight: self)
        open[ObjectIdentifier(connection)] = connection
        let bound = NIOLoopBound((fight: self, connection: connection), eventLoop: loop)
        bootstrap
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(bound.value.connection)
                }
            }
            .connect(to: address)
            .flatMap { $0.closeFuture }
            .whenComplete { _ in bound.value.fight.closed(bound.value.connection) }
    }

    func connected(_ connection: FightConnection) {
        guard phase == .fighting || connection.fighter < 0 else { return connection.close() }
        moment += 1
        connection.reign.claimedAt = moment
        connection.send(.connect(connection.connect))
        if connection.role == .fighter(.vanishes) { connection.close() }
    }

    private func closed(_ connection: FightConnection) {
        open[ObjectIdentifier(connection)] = nil
        switch connection.role {
        case .fighter:
            if connection.reign.acceptedAt == nil {
                claiming -= 1
                ghosts[connection.id] += 1
            }
            waiting.append(connection.fighter)
            claim()
        case .herald where phase != .over:
            complain("the herald was thrown out")
            end()
        case .heir where phase == .inheriting && ghosts[connection.id] > 0:
            ghosts[connection.id] -= 1
            dial(.heir, id: connection.id)
        case .heir where phase == .inheriting: complain("c\(connection.id): its heir was thrown out")
        case .founder, .herald, .heir: break
        }
        proceed()
    }

    private func accepted(_ connection: FightConnection, _ ack: ConnAck) {
        guard ack.reason == .success else {
            return complain("\(connection.connect.clientID) was refused: \(ack.reason)")
        }
        moment += 1
        outcome.accepted += 1
        switch connection.role {
        case .founder:
            connection.send(.subscribe(id: 1, filters: topic(connection.id).string, qos: .exactlyOnce))
        case .herald:
            connection.send(.subscribe(id: 1, filters: Self.population.string))
        case .heir:
            records[connection.id].accepted(&connection.reign, at: moment, ack)
            inherit(connection)
        case .fighter(let habit):
            claiming -= 1
            records[connection.id].accepted(&connection.reign, at: moment, ack)
            if habit == .leaves { connection.send(.disconnect(Disconnect())) }
            if habit == .leaves || habit == .breaks { connection.close() }
            claim()
        }
    }

    // MARK: - What they hear

    func received(_ packet: Packet, on connection: FightConnection) {
        switch packet {
        case .connAck(let ack): accepted(connection, ack)
        case .subAck:
            guard connection.role == .founder else { return herald = connection }
            founded += 1
            connection.send(.disconnect(Disconnect()))
            connection.close()
        case .publish(let publish): heard(publish, on: connection)
        case .pubAck(let ack), .pubComp(let ack): answered(ack)
        case .pubRec(let ack):
            if ack.reason.isFailure { return answered(ack) }
            connection.send(.pubRel(id: ack.packetID))
        case .pubRel(let ack): connection.send(.pubComp(id: ack.packetID), isLast: false)
        case .disconnect(let disconnect):
            if disconnect.reason == .sessionTakenOver {
                outcome.thrownOut += 1
            } else {
                complain("\(connection.connect.clientID) was told \(disconnect.reason)")
            }
        default: complain("\(packet) is no answer")
        }
    }

    private func heard(_ publish: Publish, on connection: FightConnection) {
        if connection === herald { return counted(String(buffer: publish.payload)) }
        guard let message = FightRecord.Message(publish, grantedAs: publish.qos) else {
            return complain("a message of nobody on \(publish.topic)")
        }
        outcome.heard += 1
        records[connection.id].heard(message, isDuplicate: publish.isDuplicate, by: &connection.reign)
        if connection.role != .fighter(.staysSilent) {
            switch publish.qos {
            case .atMostOnce: break
            case .atLeastOnce: connection.send(.pubAck(id: publish.packetID), isLast: false)
            case .exactlyOnce: connection.send(.pubRec(id: publish.packetID), isLast: false)
            }
        }
        if connection.role == .heir { inherit(connection) }
    }

    /// The broker says how many it has.
    private func counted(_ text: String) {
        guard let count = Int(text) else { return complain("\"\(text)\" clients are connected") }
        if count > settings.ids + 1 {
            complain("\(count) clients are connected, with \(settings.ids) ids and a herald")
        }
    }

    private func inherit(_ heir: FightConnection) {
        guard phase == .inheriting, records[heir.id].missing.isEmpty else { return }
        inherited.insert(heir.id)
        proceed()
    }

    // MARK: - What is published

    private func topic(_ id: Int) -> MQTTString { MQTTString("fight/\(id)") }

    /// A handful to each id in turn, of each QoS in turn.
    private func publish() {
        guard phase == .fighting else { return }
        // By the clock, since ticks come late when everybody is busy.
        let elapsed = (loop.now - began).nanoseconds / 1_000_000
        let due = settings.messagesPerSecond * Int(elapsed) / 1_000
        while outcome.published < due, unanswered.count < Self.windowMax {
            let number = outcome.published
            publish(to: number / 3 % settings.ids, QoS(rawValue: UInt8(number % 3)) ?? .atMostOnce)
        }
        loop.assumeIsolated().scheduleTask(in: Self.tick) { self.publish() }
    }

    private func publish(to id: Int, _ qos: QoS) {
        moment += 1
        published[qos, default: 0] += 1
        let message = FightRecord.Message(qos: qos, number: published[qos] ?? 0, publishedAt: moment)
        if qos != .atMostOnce {
            repeat { lastPacketID = lastPacketID == .max ? 1 : lastPacketID + 1 } while unanswered[lastPacketID] != nil
            unanswered[lastPacketID] = (id, message)
        }
        outcome.published += 1
        let packetID = qos == .atMostOnce ? 0 : lastPacketID
        herald?.send(.publish(topic: topic(id), payload: message.payload, qos: qos, id: packetID))
    }

    private func answered(_ ack: PublishAck) {
        guard let (id, message) = unanswered.removeValue(forKey: ack.packetID) else {
            return complain("an answer to nothing")
        }
        if ack.reason.isFailure { return complain("\(message.qos) \(message.number) was refused: \(ack.reason)") }
        records[id].promised(message)
    }
}

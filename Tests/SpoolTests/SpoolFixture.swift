import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Synchronization
import Testing

/// A spool in a fresh folder, with a recorder attached. The folder goes with it.
final class SpoolFixture {
    let folder: String
    private(set) var spool: Spool
    private(set) var contents: SpoolContents
    private(set) var tidings = TidingsRecorder()
    private var ticket: UInt64 = 0
    private(set) var options: SpoolOptions
    var wall = Timestamp(microseconds: 1_000_000)

    init(
        queueMessagesMax: Int = 10_000,
        hooks: SpoolHooks = SpoolHooks(),
        folder: String? = nil,
        _ adjust: (inout SpoolOptions) -> Void = { _ in }
    ) throws {
        self.folder = folder ?? Self.freshFolder()
        var options = SpoolOptions(directory: self.folder, queueMessagesMax: queueMessagesMax)
        options.hooks = hooks
        adjust(&options)
        self.options = options
        (spool, contents) = try Spool.open(options, now: wall)
        attach()
    }

    deinit {
        spool.close()
        do { try FileManager.default.removeItem(atPath: folder) } catch { print("left behind: \(folder)") }
    }

    static func freshFolder() -> String { NSTemporaryDirectory() + "spool-test-" + UUID().uuidString }

    private func attach() {
        let recorder = TidingsRecorder()
        tidings = recorder
        spool.attach { recorder.received($0) }
    }

    /// Closes and opens again, perhaps with other options.
    func reopen(_ adjust: (inout SpoolOptions) -> Void = { _ in }) throws {
        spool.close()
        adjust(&options)
        (spool, contents) = try Spool.open(options, now: wall)
        attach()
    }

    /// What another process would find if this one were killed now: the files, copied as they are.
    ///
    /// The log is copied first: should it be moved into the file meanwhile, it is only replayed once more. `cp` copies,
    /// because closing the file in this process would drop SQLite's locks on it.
    func copyAsIfKilled(_ timed: (Duration) -> Void = { _ in }) throws -> SpoolFixture {
        let copy = Self.freshFolder()
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        for name in ["spool.sqlite-wal", "spool.sqlite"] {
            let process = try Process.run(
                URL(filePath: "/bin/cp"), arguments: ["\(folder)/\(name)", "\(copy)/\(name)"])
            process.waitUntilExit()
            try #require(process.terminationStatus == 0)
        }
        let options = options
        let start = ContinuousClock.now
        let killed = try SpoolFixture(folder: copy) { adjusted in
            adjusted = options
            adjusted.directory = copy
        }
        timed(ContinuousClock.now - start)
        return killed
    }

    /// Appends with the next ticket, without waiting.
    @discardableResult
    func append(_ records: SpoolRecord..., loads: [LoadRequest] = []) -> (position: Position, ticket: Ticket) {
        append(records, loads: loads)
    }

    @discardableResult
    func append(_ records: [SpoolRecord], loads: [LoadRequest] = []) -> (position: Position, ticket: Ticket) {
        ticket += 1
        let position = spool.append(records, loads: loads, ticket: Ticket(ticket), wall: wall)
        return (position, Ticket(ticket))
    }

    /// Appends and waits for the commit.
    @discardableResult
    func commit(_ records: SpoolRecord...) throws -> Position { try commit(records) }

    @discardableResult
    func commit(_ records: [SpoolRecord]) throws -> Position {
        let (position, ticket) = append(records)
        try tidings.wait("commit of \(ticket)") { $0.committed >= ticket }
        return position
    }

    /// Asks for a page and waits for it.
    func page(
        _ receiver: ReceiverID,
        after: Position = .zero,
        messagesMax: Int = 1_000_000,
        bytesMax: Int = .max
    ) throws -> Page {
        let seen = tidings.pages.count
        append(loads: [.init(receiver: receiver, after: after, messagesMax: messagesMax, bytesMax: bytesMax)])
        try tidings.wait("a page") { $0.pages.count > seen }
        return try #require(tidings.pages.last)
    }

    func positions(_ receiver: ReceiverID) throws -> [Position] { try page(receiver).entries.map(\.position) }

    /// The same as operators read it, in parts.
    func readQueue(_ receiver: ReceiverID, partMax: Int = 3) throws -> [Position] {
        var positions: [Position] = []
        var after: Position? = .zero
        while let next = after {
            let part = try spool.queue(of: receiver, after: next, rowsMax: 2 * partMax + 1, entriesMax: partMax)
            positions += part.entries.map(\.position)
            after = part.next
        }
        return positions
    }

    /// What `sqlite3` says on another connection of another process.
    func sql(_ statement: String) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/sqlite3")
        process.arguments = ["-cmd", ".timeout 5000", "\(folder)/spool.sqlite", statement]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// A `sqlite3` that has said `answer` to statements, and stays with its transaction until it is ended.
    func besides(_ statements: String, answers answer: String) throws -> OtherProcess {
        let other = OtherProcess()
        other.process.executableURL = URL(filePath: "/usr/bin/sqlite3")
        other.process.arguments = ["-cmd", ".timeout 30000", "\(folder)/spool.sqlite"]
        other.process.standardInput = other.input
        let output = Pipe()
        other.process.standardOutput = output
        try other.process.run()
        try other.input.fileHandleForWriting.write(contentsOf: Data("\(statements)\n".utf8))
        try #require(output.fileHandleForReading.availableData == Data("\(answer)\n".utf8))
        return other
    }

    struct OtherProcess {
        fileprivate let process = Process()
        fileprivate let input = Pipe()

        func end() throws {
            try input.fileHandleForWriting.close()
            process.waitUntilExit()
        }
    }
}

/// What the spool told.
final class TidingsRecorder: @unchecked Sendable {
    struct Told {
        var calls: [[SpoolEvent]] = []
        var tickets: [Ticket] = []
        var pages: [Page] = []
        var dropped: [ReceiverID: Int] = [:]
        var refusals: [SpoolRefusal?] = []
        var full: [ReceiverID: [Bool]] = [:]
        var levels: [ReceiverID: [QueueLevel]] = [:]
        var spoolLevels: [QueueLevel] = []
        var committed: Ticket { tickets.last ?? .none }
    }

    /// Guarded by `condition`.
    private var told = Told()
    private let condition = NSCondition()

    func received(_ events: [SpoolEvent]) {
        condition.lock()
        defer { condition.unlock() }
        told.calls.append(events)
        for event in events {
            switch event {
            case .committed(let ticket): told.tickets.append(ticket)
            case .loaded(let page): told.pages.append(page)
            case .dropped(let receiver, let messages): told.dropped[receiver, default: 0] += messages
            case .refusing(let refusal): told.refusals.append(refusal)
            case .full(let receiver, let isFull): told.full[receiver, default: []].append(isFull)
            case .level(let receiver?, let level): told.levels[receiver, default: []].append(level)
            case .level(nil, let level): told.spoolLevels.append(level)
            }
        }
        condition.broadcast()
    }

    func wait(_ what: String, until isTrue: (Told) -> Bool) throws {
        let deadline = Date(timeIntervalSinceNow: 30)
        condition.lock()
        defer { condition.unlock() }
        while !isTrue(told) {
            guard condition.wait(until: deadline) else { throw Late(what: what) }
        }
    }

    var now: Told {
        condition.lock()
        defer { condition.unlock() }
        return told
    }
    var pages: [Page] { now.pages }

    struct Late: Error { var what: String }
}

/// A door that test code holds shut while the writer thread stands before it.
final class Door: @unchecked Sendable {
    private let condition = NSCondition()
    private var isOpen = true
    private var waiting = 0

    func shut() { set(open: false) }
    func open() { set(open: true) }

    private func set(open: Bool) {
        condition.lock()
        isOpen = open
        condition.broadcast()
        condition.unlock()
    }

    /// Called by whoever must pass.
    func pass() {
        condition.lock()
        waiting += 1
        condition.broadcast()
        while !isOpen { condition.wait() }
        waiting -= 1
        condition.unlock()
    }

    func waitUntilSomebodyStandsThere() throws {
        let deadline = Date(timeIntervalSinceNow: 30)
        condition.lock()
        defer { condition.unlock() }
        while waiting == 0 {
            guard condition.wait(until: deadline) else { throw TidingsRecorder.Late(what: "the writer") }
        }
    }
}

extension Message {
    static func sample(
        _ payload: String = "hello",
        topic: MQTTString = "room/1",
        qos: QoS = .atLeastOnce,
        properties: Properties = Properties(),
        expiry: Timestamp? = nil,
        came: Timestamp = Timestamp(microseconds: 7)
    ) -> Message {
        Message(
            id: MessageID(high: came.microseconds, low: 9),
            topic: topic,
            payload: ByteBuffer(string: payload),
            qos: qos,
            isRetained: false,
            properties: properties,
            expiry: expiry
        )
    }
}

extension SpoolRecord {
    static func session(_ receiver: ReceiverID, _ clientID: MQTTString = "client") -> SpoolRecord {
        .receiver(
            ReceiverRecord(
                receiver: receiver,
                kind: .session(clientID: clientID),
                expiryInterval: 3600,
                disconnectedAt: nil
            )
        )
    }

    static func link(_ receiver: ReceiverID) -> SpoolRecord {
        .receiver(
            ReceiverRecord(receiver: receiver, kind: .link(name: "hub"), expiryInterval: .max, disconnectedAt: nil)
        )
    }

    static func message(_ payload: String = "hello", to receivers: ReceiverID...) -> SpoolRecord {
        .message(.sample(payload), deliveries: receivers.map { Delivery(receiver: $0, qos: .atLeastOnce) })
    }
}

let alice = ReceiverID(1)
let bob = ReceiverID(2)

import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Synchronization
import Testing

/// A child process that is killed while it writes. Its log of announced tickets survives it; what was announced must
/// be in the spool, and every append must be there whole or not at all.
@Suite("Kill -9", .serialized)
struct KillNineTests {
    @Test("what was announced before the kill is there, whole and in order", arguments: [1, 7, 60, 333, 1_500])
    func killed(atAppend last: Int) async throws {
        let folder = SpoolFixture.freshFolder()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String, last = last as Int] in
            try writeUntilKilled(folder, last: last)
        }
        let log = try String(contentsOfFile: folder + "/announced", encoding: .utf8)
        let announced = log.split(separator: "\n").compactMap { UInt64($0) }.last ?? 0
        let fixture = try SpoolFixture(folder: folder)
        let all = try fixture.positions(alice).map(\.number)
        let count = UInt64(all.count)
        #expect(all == Array(1..<(count + 1)))
        #expect(count + 1 >= announced, "the first ticket brought the receivers")
        // Each append also acknowledged, for bob, the message ten before: both are there or neither.
        let unacknowledged = Array(1..<(count + 1)).suffix(10)
        #expect(try fixture.positions(bob).map(\.number) == Array(unacknowledged))
    }
}

/// Runs in the child: appends without waiting, and dies at an append while the writer is anywhere.
private func writeUntilKilled(_ folder: String, last: Int) throws {
    let (spool, _) = try Spool.open(SpoolOptions(directory: folder), now: Timestamp(microseconds: 1))
    let log = open(folder + "/announced", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    let announced = Mutex(UInt64(0))
    spool.attach { events in
        for case .committed(let ticket) in events {
            announced.withLock { $0 = ticket.number }
            let line = "\(ticket.number)\n"
            _ = line.withCString { write(log, $0, strlen($0)) }
        }
    }
    let wall = Timestamp(microseconds: 1)
    spool.append([.session(alice), .link(bob)], loads: [], ticket: Ticket(1), wall: wall)
    for number in 1... {
        var records: [SpoolRecord] = [.message("\(number)", to: alice, bob)]
        if number > 10 { records.append(.acknowledged(bob, Position(UInt64(number - 10)))) }
        spool.append(records, loads: [], ticket: Ticket(UInt64(number + 1)), wall: wall)
        // Let the writer keep up a little, so that there are many batches to die in.
        while announced.withLock({ $0 }) + 20 < UInt64(number) {}
        if number == last { kill(getpid(), SIGKILL) }
    }
}

import Foundation

/// Log lines on their way to standard error, written by a thread of their own: whoever logs neither waits for a reader
/// that does not read nor fails when there is none, or no room on its disk. What cannot be written is lost and counted.
///
/// Unchecked: everything is touched with `condition` locked.
final class LogOutput: @unchecked Sendable {
    static let standardError = LogOutput()

    private let condition = NSCondition()
    private var waiting: [UInt8] = []
    private var lost = 0
    private var isWriting = false
    private var hasThread = false

    /// Of lines that wait; what comes beyond is lost.
    private static let bytesMax = 1 << 20

    /// - Returns: how many lines were lost before this one; each is told once.
    func write(_ line: String) -> Int {
        condition.lock()
        defer { condition.unlock() }
        guard waiting.count < Self.bytesMax else {
            lost += 1
            return 0
        }
        waiting += line.utf8
        if !hasThread {
            hasThread = true
            let thread = Thread { [self] in run() }
            thread.name = "log"
            thread.start()
        }
        condition.broadcast()
        defer { lost = 0 }
        return lost
    }

    /// Waits until everything is written, a second at most.
    func flush() {
        let deadline = Date(timeIntervalSinceNow: 1)
        condition.lock()
        defer { condition.unlock() }
        while !waiting.isEmpty || isWriting, condition.wait(until: deadline) {}
    }

    private func run() {
        condition.lock()
        while true {
            while waiting.isEmpty { condition.wait() }
            var lines: [UInt8] = []
            swap(&lines, &waiting)
            isWriting = true
            condition.unlock()
            let unwritten = Console.write(lines[...], to: STDERR_FILENO)
            condition.lock()
            lost += unwritten.count(where: { $0 == UInt8(ascii: "\n") })
            isWriting = false
            condition.broadcast()
        }
    }
}

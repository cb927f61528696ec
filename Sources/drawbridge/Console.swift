import ArgumentParser
@preconcurrency import Foundation
import Synchronization

/// What a command tells people. Whether anybody can hear it is no reason to fail for what goes to standard error; what goes
/// to standard output is the result, and the process ends with 1 when it does not arrive: see `failWithoutOutput`.
enum Console {
    static func error(_ text: String) { write(Array((text + "\n").utf8)[...], to: STDERR_FILENO) }

    /// Without the end of a line: a prompt, or progress.
    static func tell(_ text: String) { write(Array(text.utf8)[...], to: STDERR_FILENO) }

    /// Bytes of a result, as they are.
    static func write(_ bytes: Data) {
        fflush(nil)
        if !write([UInt8](bytes)[...], to: STDOUT_FILENO).isEmpty { hasLostOutput.store(true, ordering: .relaxed) }
    }

    private static let hasLostOutput = Atomic(false)
    /// A node that runs says on standard output where it is, and does not fail for that.
    static let needsOutput = Atomic(true)

    /// Makes the process end with 1 when its standard output took not everything: a disk that is full, a closed pipe.
    static func failWithoutOutput() {
        atexit {
            guard Console.needsOutput.load(ordering: .relaxed) else { return }
            guard fflush(nil) != 0 || ferror(stdout) != 0 || Console.hasLostOutput.load(ordering: .relaxed) else {
                return
            }
            Console.error("drawbridge: standard output could not be written")
            _exit(1)
        }
    }

    /// - Returns: what could not be written.
    @discardableResult
    static func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> ArraySlice<UInt8> {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wanted, 1, -1)
            } else if errno != EINTR {
                break
            }
        }
        return rest
    }

    /// Standard output is a pipe more often than a terminal: what is printed has to arrive.
    static func say(_ text: String) {
        print(text)
        fflush(nil)
    }

    /// Says what went wrong. To be thrown: it ends the process with that status.
    static func failure(_ text: String, status: Int32 = 1) -> ExitCode {
        error(text)
        return ExitCode(status)
    }

    /// Does something, and ends the process when it fails, saying why.
    ///
    /// - Parameter name: stands before the reason; empty where that names a file itself.
    static func orExit<Result, Failure: Error>(
        _ name: String = "drawbridge: ",
        status: Int32 = 1,
        _ work: () throws(Failure) -> Result
    ) throws(ExitCode) -> Result {
        do throws(Failure) {
            return try work()
        } catch {
            throw failure("\(name)\(error)", status: status)
        }
    }
}

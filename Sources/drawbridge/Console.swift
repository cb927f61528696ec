import ArgumentParser
import Foundation

/// Where a command tells people what went wrong.
enum Console {
    static func error(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

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

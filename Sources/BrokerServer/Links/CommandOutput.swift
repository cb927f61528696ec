import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What a program of the operator prints: for passwords that something else makes, such as tokens that soon expire.
///
/// It runs on the thread that asks, so nobody who may not wait calls this. The program gets no input, none of our open
/// files, and a process group of its own, which is killed as a whole when its time is over: what it started ends too.
package struct CommandOutput: Sendable {
    package struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
        /// For the operator; never holds what was printed on the standard output.
        package let description: String
    }

    /// The program and its arguments; one without a slash is looked for in PATH.
    private let arguments: [String]
    private let patience: Duration
    private let bytesMax: Int

    package init(_ arguments: [String], patience: Duration, bytesMax: Int) {
        self.arguments = arguments
        self.patience = patience
        self.bytesMax = bytesMax
    }

    /// Runs it.
    ///
    /// - Returns: all that it printed on its standard output, when it ended with status 0 and in time.
    /// - Throws: why there is no answer.
    package func run() throws(Failure) -> [UInt8] {
        guard let program = arguments.first else { throw Failure(description: "there is no command") }
        let output = try Pipe()
        defer { output.close() }
        let complaints = try Pipe()
        defer { complaints.close() }
        let child = try spawn(program, output, complaints)
        output.closeWriting()
        complaints.closeWriting()
        let deadline = Self.now + UInt64(patience.nanoseconds)
        var printed: [UInt8] = []
        var complaint: [UInt8] = []
        let isDone = gather(output, complaints, until: deadline, into: &printed, &complaint)
        guard isDone, printed.count <= bytesMax, let status = wait(for: child, until: deadline) else {
            kill(-child, SIGKILL)
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            guard printed.count <= bytesMax else {
                throw Failure(description: "\(program) printed more than \(bytesMax) bytes")
            }
            throw Failure(description: "\(program) did not end within \(DurationText.describe(patience))")
        }
        guard status == 0 else { throw Failure(description: Self.text(program, status, complaint)) }
        return printed
    }

    /// Bits of a status of `waitpid`: the macros are not for Swift.
    private static func text(_ program: String, _ status: Int32, _ complaint: [UInt8]) -> String {
        let signal = status & 0x7F
        let end = signal == 0 ? "ended with \((status >> 8) & 0xFF)" : "was ended by signal \(signal)"
        let line = String(decoding: complaint.prefix(while: { $0 != UInt8(ascii: "\n") }).prefix(200), as: UTF8.self)
        return "\(program) \(end)" + (line.isEmpty ? "" : ": \(line)")
    }

    // MARK: - The child

    private func spawn(_ program: String, _ output: Pipe, _ complaints: Pipe) throws(Failure) -> pid_t {
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output.writing, 1)
        posix_spawn_file_actions_adddup2(&actions, complaints.writing, 2)
        // One that is closed meanwhile is no error.
        for descriptor in Self.openDescriptors { posix_spawn_file_actions_addclose(&actions, descriptor) }
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        // Signals that we ignore or block are not the program's business.
        var mask = sigset_t()
        sigemptyset(&mask)
        posix_spawnattr_setsigmask(&attributes, &mask)
        for signal in [SIGPIPE, SIGTERM, SIGINT, SIGHUP] { sigaddset(&mask, signal) }
        posix_spawnattr_setsigdefault(&attributes, &mask)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(truncatingIfNeeded: flags))

        var child: pid_t = 0
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        defer { for word in words { free(word) } }
        words.append(nil)
        let result = posix_spawnp(&child, program, &actions, &attributes, words, environ)
        guard result == 0 else { throw Failure(description: "\(program) cannot be run: \(Self.reason(result))") }
        return child
    }

    /// All that a child would inherit but for its three: not everything that is opened in a process is marked as its own.
    private static var openDescriptors: [Int32] {
        guard let folder = opendir("/dev/fd") else { return [] }
        defer { closedir(folder) }
        var descriptors: [Int32] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let descriptor = Int32(name), descriptor > 2 { descriptors.append(descriptor) }
        }
        return descriptors
    }

    /// - Returns: whether both ends were closed in time, and nothing was too long.
    private func gather(
        _ output: Pipe,
        _ complaints: Pipe,
        until deadline: UInt64,
        into printed: inout [UInt8],
        _ complaint: inout [UInt8]
    ) -> Bool {
        var waiting = [
            pollfd(fd: output.reading, events: Int16(POLLIN), revents: 0),
            pollfd(fd: complaints.reading, events: Int16(POLLIN), revents: 0),
        ]
        var page = [UInt8](repeating: 0, count: 4096)
        // What only complains, and does so for ever in the background, does not keep us.
        while waiting[0].fd >= 0 {
            let now = Self.now
            guard now < deadline else { return false }
            let ready = poll(&waiting, 2, Int32(clamping: (deadline - now) / 1_000_000 + 1))
            guard ready >= 0 || errno == EINTR else { return false }
            guard ready > 0 else { continue }
            for index in waiting.indices where waiting[index].revents != 0 {
                let count = read(waiting[index].fd, &page, page.count)
                if count < 0, errno == EINTR { continue }
                if count <= 0 {
                    // Negative ones are skipped.
                    waiting[index].fd = -1
                } else if index == 0 {
                    printed += page[..<count]
                    guard printed.count <= bytesMax else { return false }
                } else {
                    complaint += page[..<min(count, max(0, 4096 - complaint.count))]
                }
            }
        }
        return true
    }

    /// - Returns: nil when it does not end in time.
    private func wait(for child: pid_t, until deadline: UInt64) -> Int32? {
        var status: Int32 = 0
        while true {
            let result = waitpid(child, &status, WNOHANG)
            if result == child { return status }
            if result < 0, errno != EINTR { return nil }
            guard Self.now < deadline else { return nil }
            // It has closed its output, so that it is about to end.
            poll(nil, 0, 5)
        }
    }

    private static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

    fileprivate static func reason(_ number: Int32) -> String {
        guard let text = strerror(number) else { return "error \(number)" }
        return String(cString: text)
    }

    /// Both ends of a pipe, which no other child inherits.
    private struct Pipe {
        let reading: Int32
        let writing: Int32
        private let isWriting = Flag()

        private final class Flag { var isOpen = true }

        init() throws(Failure) {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw Failure(description: "no pipe: \(CommandOutput.reason(errno))") }
            reading = ends[0]
            writing = ends[1]
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        }

        func closeWriting() {
            guard isWriting.isOpen else { return }
            isWriting.isOpen = false
            _ = systemClose(writing)
        }

        func close() {
            closeWriting()
            _ = systemClose(reading)
        }
    }
}

private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }

extension Duration {
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}

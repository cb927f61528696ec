import Foundation

/// What processes have used, as Linux counts it under /proc.
package struct ProcessUsage: Sendable, Equatable {
    /// Of all threads, in user and system mode.
    package var cpuSeconds = 0.0
    /// Resident memory.
    package var residentBytes = 0

    package init() {}

    /// The sum over some processes; nil when one of them is not there (any more).
    package init?(of processes: [Int]) {
        for process in processes {
            guard let stat = Self.text("/proc/\(process)/stat"), let memory = Self.text("/proc/\(process)/statm"),
                let ticks = Self.ticks(inStat: stat), let pages = Self.field(1, of: memory)
            else { return nil }
            cpuSeconds += Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
            residentBytes += pages * Int(sysconf(Int32(_SC_PAGESIZE)))
        }
    }

    /// Seconds of CPU that this process has used.
    package static var own: Double {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        let micros = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(micros) / 1e6
    }

    /// User and system time from the text of /proc/PID/stat, in clock ticks. The name of the program stands in brackets
    /// and may hold spaces and brackets itself, so fields are counted from the last one.
    package static func ticks(inStat text: String) -> Int? {
        guard let bracket = text.lastIndex(of: ")") else { return nil }
        let rest = String(text[bracket...].dropFirst(2))
        guard let user = field(11, of: rest), let system = field(12, of: rest) else { return nil }
        return user + system
    }

    private static func field(_ index: Int, of text: String) -> Int? {
        let fields = text.split(whereSeparator: \.isWhitespace)
        return index < fields.count ? Int(fields[index]) : nil
    }

    private static func text(_ path: String) -> String? {
        do {
            return try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            return nil
        }
    }
}

import BrokerServer
import NIOCore

/// All that is read at one moment: the difference of two is what happened in between.
struct Reading: Sendable {
    var snapshot: BenchSnapshot
    /// Nanoseconds of the monotonic clock.
    var time: UInt64
    /// Nil without processes to look at.
    var broker: ProcessUsage?
    var ownCPUSeconds: Double

    var counters: BenchCounters { snapshot.counters }

    /// What is measured to its end was over when the last of it came, and not at the next look.
    ///
    /// - Parameter last: nanoseconds of the monotonic clock; 0 when nothing came.
    mutating func end(at last: UInt64) {
        if last > 0 { time = min(time, last) }
    }

    func seconds(since earlier: Reading) -> Double { Double(time - min(time, earlier.time)) / 1e9 }
}

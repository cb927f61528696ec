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

    func seconds(since earlier: Reading) -> Double { Double(time - min(time, earlier.time)) / 1e9 }
}

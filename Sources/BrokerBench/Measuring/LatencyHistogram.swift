/// Durations counted in buckets that grow with what they hold: exact below 128 ns, and above that 128 buckets for each
/// doubling, so that no bucket is wider than 0.8 % of its values. Recording is one index and one addition.
package struct LatencyHistogram: Sendable, Equatable {
    private static let subBuckets = 128
    private static let subBucketBits = 7
    /// Room for every number of 64 bits: one row of exact values, and one for each power of two above it.
    private static let bucketCount = (64 - subBucketBits + 1) * subBuckets

    private var buckets = [UInt64](repeating: 0, count: bucketCount)
    package private(set) var count: UInt64 = 0
    /// Nanoseconds; 0 without a recorded value.
    package private(set) var max: UInt64 = 0
    private var min = UInt64.max
    /// A double, since a sum of delays under overload leaves 64 bits sooner than a double its precision.
    private var sum = 0.0

    package init() {}

    package mutating func record(nanoseconds value: UInt64) {
        buckets[Self.index(of: value)] += 1
        count += 1
        sum += Double(value)
        if value > max { max = value }
        if value < min { min = value }
    }

    package mutating func merge(_ other: LatencyHistogram) {
        for index in buckets.indices { buckets[index] += other.buckets[index] }
        count += other.count
        sum += other.sum
        max = Swift.max(max, other.max)
        min = Swift.min(min, other.min)
    }

    /// Nanoseconds.
    package var mean: Double { count == 0 ? 0 : sum / Double(count) }

    /// The value that `share` of all values do not exceed, in nanoseconds; 0 without a recorded value.
    ///
    /// - Parameter share: 0 to 1; 0.99 is p99.
    package func percentile(_ share: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let wanted = Swift.max(1, UInt64((share * Double(count)).rounded(.up)))
        var seen: UInt64 = 0
        for (index, number) in buckets.enumerated() where number > 0 {
            seen += number
            if seen >= wanted { return Swift.min(max, Swift.max(min, Self.middle(of: index))) }
        }
        return max
    }

    private static func index(of value: UInt64) -> Int {
        guard value >= UInt64(subBuckets) else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        let position = Int(truncatingIfNeeded: value >> UInt64(exponent - subBucketBits)) & (subBuckets - 1)
        return (exponent - subBucketBits + 1) * subBuckets + position
    }

    private static func middle(of index: Int) -> UInt64 {
        guard index >= subBuckets else { return UInt64(index) }
        let shift = UInt64(index / subBuckets - 1)
        let start = UInt64(subBuckets + index % subBuckets) << shift
        return start + (UInt64(1) << shift) / 2
    }
}

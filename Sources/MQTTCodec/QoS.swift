/// Quality of service of a message: 0 at most once, 1 at least once, 2 exactly once (§4.3).
package enum QoS: UInt8, Sendable, Comparable, Hashable, CaseIterable {
    case atMostOnce = 0
    case atLeastOnce = 1
    case exactlyOnce = 2

    package static func < (a: QoS, b: QoS) -> Bool { a.rawValue < b.rawValue }
}

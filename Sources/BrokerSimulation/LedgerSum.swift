import BrokerCore

/// Promise 2 as a line: what was taken for receivers, and how all of it ended.
package struct LedgerSum: Sendable, CustomStringConvertible {
    package private(set) var accepted = 0
    private var ended: [LedgerLine.Entry: Int] = [:]

    package init() {}

    init(_ books: Books) {
        accepted = books.accepted
        ended = books.totals
    }

    package static func += (sum: inout LedgerSum, other: LedgerSum) {
        sum.accepted += other.accepted
        sum.ended.merge(other.ended, uniquingKeysWith: +)
    }

    package var delivered: Int { ended[.delivered] ?? 0 }
    package var expired: Int { ended[.expired] ?? 0 }
    package var dropped: Int { ended[.dropped] ?? 0 }
    package var discarded: Int { ended[.discarded] ?? 0 }
    package var tooLarge: Int { ended[.tooLarge] ?? 0 }
    package var waiting: Int { accepted - ended.values.reduce(0, +) }

    package var description: String {
        "\(accepted) taken for receivers = \(delivered) delivered + \(expired) expired + \(dropped) dropped by policy + "
            + "\(discarded) discarded with their session + \(tooLarge) too large + \(waiting) waiting"
    }
}

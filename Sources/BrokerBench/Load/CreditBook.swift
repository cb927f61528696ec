/// What the subscribers of one loop have received and the publishers do not know yet.
///
/// Messages of one publisher mostly come one after the other: they are one sum, and one entry for a publisher elsewhere.
struct CreditBook {
    private var publisher = 0
    private var count: UInt64 = 0
    /// By thread of the publisher.
    private var mail: [[CreditInbox.Credit]]
    private let doors: [(inbox: CreditInbox, wake: @Sendable () -> Void)]

    init(_ doors: [(inbox: CreditInbox, wake: @Sendable () -> Void)] = []) {
        self.doors = doors
        mail = Array(repeating: [], count: doors.count)
    }

    /// Adds to the sum; hands back what another publisher's sum was.
    mutating func add(_ publisher: Int, _ count: UInt64) -> CreditInbox.Credit? {
        guard publisher != self.publisher else {
            self.count = self.count.addingSaturated(count)
            return nil
        }
        let former = close()
        self.publisher = publisher
        self.count = count
        return former
    }

    /// The sum that is open, which is 0 afterwards.
    mutating func close() -> CreditInbox.Credit? {
        guard count > 0 else { return nil }
        defer { count = 0 }
        return CreditInbox.Credit(publisher: publisher, count: count)
    }

    /// For a publisher of another thread.
    mutating func write(_ credit: CreditInbox.Credit, to thread: Int) {
        guard mail.indices.contains(thread) else { return }
        if let last = mail[thread].indices.last, mail[thread][last].publisher == credit.publisher {
            mail[thread][last].count = mail[thread][last].count.addingSaturated(credit.count)
        } else {
            mail[thread].append(credit)
        }
    }

    /// Posts what is for others, and wakes those who have nothing yet.
    mutating func post() {
        for thread in mail.indices where !mail[thread].isEmpty {
            if doors[thread].inbox.post(mail[thread]) { doors[thread].wake() }
            mail[thread].removeAll(keepingCapacity: true)
        }
    }
}

/// How long messages wait in memory, for receivers that the spool does not know (`queue.max_age`).
///
/// Looked at when a queue is read or written, and by one timer for all of them, so that a queue that nobody touches
/// shrinks as well. While nothing waits there is no timer.
extension Shard {
    /// Lets go what is at the head of a queue for too long.
    ///
    /// - Complexity: one comparison when nothing is so old.
    func giveUpAged(of session: Session, _ now: Instant) {
        guard let ageMax = settings.queueAgeMax, !session.queue.isEmpty else { return }
        while let first = session.queue.first, first.came.advanced(by: ageMax) <= now {
            session.queue.removeFirst()
            session.queueBytes -= first.bytes
            drop(.aged, session, first.message)
        }
        noteLevel(of: session, now)
        if !session.queue.isEmpty, agesTimer == nil { armAges(now) }
    }

    /// Queues in memory are kept for another time from now on.
    func watchAges(_ now: Instant) {
        timers.cancel(agesTimer)
        agesTimer = nil
        if settings.queueAgeMax != nil { armAges(now) }
    }

    func giveUpAged(_ now: Now) {
        agesTimer = nil
        for case let session? in sessions { giveUpAged(of: session, now.instant) }
    }

    func armAges(_ now: Instant) {
        guard agesTimer == nil, let ageMax = settings.queueAgeMax else { return }
        agesTimer = timers.add(.ages, at: now.advanced(by: min(max(ageMax / 32, .milliseconds(50)), .seconds(60))))
    }
}

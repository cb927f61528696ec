import MQTTCodec
import NIOCore

/// Alarms of queues that come to their high watermark: one line in the log and one event on
/// `$SYS/brokers/<node>/alarms/<alarm>/alert` when an alarm is raised, and one each on `.../clear` when the queue is below
/// its low watermark again, or gone.
///
///     quiet --(high or more)--> raised --(less than low)--> quiet
///
/// The spool says it of the queues that it has; those in memory are looked at where they grow and shrink. An event is
/// published like any other message, so it is never published in the middle of a delivery: what a queue in memory has
/// to say waits for a timer.
extension Shard {
    // MARK: - What the spool says

    /// - Parameter receiver: nil for the spool as a whole.
    func levelChanged(of receiver: ReceiverID?, _ level: QueueLevel, _ now: Now) {
        guard let receiver else {
            guard isSpoolHigh != level.isHigh else { return }
            isSpoolHigh = level.isHigh
            return say(level, Alarm(id: "spool_high_watermark", title: "spool"), nil, now)
        }
        guard let session = receivers[receiver] else { return }
        session.isHigh = level.isHigh
        sayLevel(of: session, messages: level.messages, bytes: level.bytes, now)
    }

    // MARK: - Queues in memory

    /// Something came to, or left, a queue in memory.
    @inline(__always)
    func noteLevel(of session: Session, _ now: Instant) {
        let isHigh = memoryMarks.isHigh(
            messages: session.queue.count, bytes: session.queueBytes, wasHigh: session.isHighInMemory)
        if isHigh != session.isHighInMemory { noteLevel(of: session, isHigh: isHigh, now) }
    }

    private func noteLevel(of session: Session, isHigh: Bool, _ now: Instant) {
        session.isHighInMemory = isHigh
        guard !session.saysLevel else { return }
        session.saysLevel = true
        _ = timers.add(.level(session), at: now)
    }

    /// The turn in which a queue in memory passed a watermark is over.
    func levelIsDue(of session: Session, _ now: Now) {
        session.saysLevel = false
        guard !session.isEnded else { return }
        sayLevel(of: session, messages: session.queue.count, bytes: session.queueBytes, now)
    }

    /// Other bounds, or watermarks, for what waits in memory.
    func noteLevels(_ now: Instant) {
        for case let session? in sessions { noteLevel(of: session, now) }
    }

    // MARK: - Saying it

    /// The queue goes, and its alarm with it.
    func clearAlarm(of session: Session, _ now: Now) {
        guard session.isAlarmed else { return }
        (session.isHigh, session.isHighInMemory) = (false, false)
        sayLevel(of: session, messages: 0, bytes: 0, now)
    }

    private func sayLevel(of session: Session, messages: Int, bytes: Int, _ now: Now) {
        let isHigh = session.isHigh || session.isHighInMemory
        guard session.isAlarmed != isHigh else { return }
        session.isAlarmed = isHigh
        let level = QueueLevel(isHigh: isHigh, messages: messages, bytes: bytes)
        say(level, Alarm(session), session, now)
    }

    private func say(_ level: QueueLevel, _ alarm: Alarm, _ session: Session?, _ now: Now) {
        alarms += level.isHigh ? 1 : -1
        if level.isHigh { counters.alarmsRaised &+= 1 } else { counters.alarmsCleared &+= 1 }
        let summary = "\(level.messages) messages, \(level.bytes) bytes"
        logAlarm(level, alarm, summary, session, now)
        let time = "\(now.wall.microseconds / 1_000_000)"
        announce("alarms/\(alarm.id.asTopicLevel)/\(level.isHigh ? "alert" : "clear")", now) {
            [
                ("id", JSONText.quoted(alarm.id)),
                ("severity", JSONText.quoted("warning")),
                ("title", JSONText.quoted(alarm.title)),
                ("summary", JSONText.quoted(summary)),
                ("ts", time),
            ]
        }
    }

    /// A node that starts with thousands of sessions that were left for good has as many alarms at once: the log hears of
    /// some of them, and how many more there are.
    private func logAlarm(_ level: QueueLevel, _ alarm: Alarm, _ summary: String, _ session: Session?, _ now: Now) {
        guard alarmLog.admits(now.instant) else { return }
        let unsaid = alarmLog.takeUnsaid()
        outbox.notices.append(
            Notice(
                level.isHigh ? .warning : .info,
                level.isHigh
                    ? "\(alarm.title) above its high watermark" : "\(alarm.title) below its low watermark again",
                clientID: session.flatMap { $0.link == nil ? $0.clientID : nil },
                link: session?.link?.settings.name,
                detail: unsaid == 0 ? summary : "\(summary); \(unsaid) more alarms were not logged"
            )
        )
    }

    /// An alarm by its name, as emqttd calls that of a session.
    private struct Alarm {
        let id: String
        let title: String

        init(id: String, title: String) {
            self.id = id
            self.title = title
        }

        init(_ session: Session) {
            if let link = session.link {
                self.init(id: "link_queue_high_watermark.\(link.settings.name.string)", title: "queue of a link")
            } else if session.group != nil {
                self.init(id: "group_queue_high_watermark.\(session.clientID.string)", title: "queue of a share group")
            } else {
                self.init(id: "queue_high_watermark.\(session.clientID.string)", title: "queue")
            }
        }
    }
}

import MQTTCodec

/// Where a shard asks its access rules: CONNECT with a will, PUBLISH, SUBSCRIBE, delivery, and what HTTP brings.
///
/// Links are not asked: an administrator wrote what crosses them, and their topics are judged under their local names
/// when they are delivered to clients.
extension Shard {
    /// Other rules from now on, for all who are connected too. Nobody is disconnected.
    ///
    /// A subscription that would not be granted any more is suspended: it stays in its session and on disk, and works
    /// again when rules allow it again, so that a slip in a file costs nobody a subscription that its client would not
    /// repeat. What waits for a session is judged when it is sent. Sessions that a restart brought back are judged when
    /// their clients return, since only then it is known who they are; nothing is sent to them before.
    package func setAccess(_ rules: AccessRules, now: Now) {
        guard rules !== access else { return }
        access = rules
        router.forgetRoutes()
        var suspended = 0
        for case let session? in sessions where session.isIdentified { suspended += reviewSubscriptions(of: session) }
        for case let session? in sessions where session.group != nil { feedGroup(session, now) }
        outbox.notices.append(
            Notice(
                .info,
                "access rules replaced",
                detail: "\(rules.rules.count) rules, \(suspended) subscriptions are suspended"
            )
        )
    }

    /// It is known who the client of a session is: what the session brought along is judged by that.
    func identify(_ session: Session, as principal: Principal) {
        let isKnown = session.isIdentified && session.principal == principal
        session.isIdentified = true
        session.principal = principal
        guard !isKnown else { return }
        session.subject = nil
        guard !access.isOpen, !session.subscriptions.isEmpty else { return }
        reviewSubscriptions(of: session)
        router.forgetRoutes()
    }

    /// - Returns: how many subscriptions are suspended.
    @discardableResult
    private func reviewSubscriptions(of session: Session) -> Int {
        var changed: [MQTTString] = []
        var suspended = 0
        for (filter, subscription) in session.subscriptions {
            let isAllowed = maySubscribe(session, filter)
            if !isAllowed { suspended += 1 }
            if isAllowed == subscription.isSuspended { changed.append(filter) }
        }
        for filter in changed.sorted() {
            guard var subscription = session.subscriptions[filter] else { continue }
            subscription.isSuspended.toggle()
            if subscription.isSuspended {
                // A replay that was begun ends.
                subscription.replay = 0
                if filter.isShared {
                    suspend(session, filter, true)
                } else {
                    router.tree.remove(filter, slot: session.slot)
                }
            } else if filter.isShared {
                suspend(session, filter, false)
            } else {
                router.tree.insert(
                    filter,
                    SubscriptionTree.Subscriber(
                        slot: session.slot,
                        options: subscription.options,
                        identifier: subscription.identifier
                    )
                )
            }
            session.subscriptions[filter] = subscription
        }
        return suspended
    }

    /// Nil for links, for sessions whose client has not come back since the start, and while there are no rules.
    func subject(of session: Session) -> AccessSubject? {
        guard !access.isOpen, session.isIdentified else { return nil }
        if let known = session.subject { return known }
        let subject = AccessSubject(session.principal)
        session.subject = subject
        return subject
    }

    // MARK: - Publishing

    /// Whether a client's PUBLISH is refused for its topic; counted and logged.
    ///
    /// - Complexity: without rules one comparison; with rules one hash and one more for a topic that was published to
    ///   lately.
    func denial(of topic: MQTTString, by session: Session, on connection: Connection, _ now: Now) -> ReasonCode? {
        // Nobody publishes to the topics of the server, with rules or without.
        guard !access.isOpen || topic.isServers else { return nil }
        let subject = subject(of: session)
        if !topic.isServers, subject?.mayPublish(topic, access) ?? true { return nil }
        counters.publishesDenied &+= 1
        if admitsDenial(of: connection, now) {
            let subject = subject ?? AccessSubject(session.principal)
            logDenial("publish denied", access.publishDecision(for: subject, topic), topic, subject.principal)
        }
        return .notAuthorized
    }

    /// Whether a denied PUBLISH ends its connection instead of being answered.
    func closesDenied(_ connection: Connection) -> Bool {
        connection.version == .v5
            ? settings.deniedPublish == .disconnect : settings.deniedPublishOfVersion3 == .disconnect
    }

    /// Whether the gateway may not publish this for its principal; counted and logged.
    func denial(of request: GatewayPublish, _ now: Now) -> ReasonCode? {
        guard !access.isOpen || request.topic.isServers else { return nil }
        let subject = gatewaySubject(request.principal)
        if subject.mayPublish(request.topic, access) { return nil }
        counters.publishesDenied &+= 1
        if denials.admits(now.instant) {
            let decision = access.publishDecision(for: subject, request.topic)
            logDenial("publish over HTTP denied", decision, request.topic, request.principal)
        }
        return .notAuthorized
    }

    /// Programs that post come again and again, and what they retain remembers them.
    func gatewaySubject(_ principal: Principal) -> AccessSubject {
        if let known = gatewaySubjects[principal] { return known }
        let subject = AccessSubject(principal)
        if gatewaySubjects.count >= Self.gatewaySubjectsMax { gatewaySubjects.removeAll() }
        gatewaySubjects[principal] = subject
        return subject
    }

    private static let gatewaySubjectsMax = 1_024

    // MARK: - Wills

    /// Whether a client may leave this will; asked before anything of its CONNECT is done.
    func mayLeave(_ will: Connect.Will?, _ principal: Principal, _ now: Now) -> Bool {
        guard let will, !access.isOpen else { return true }
        return mayPublish(will.topic, AccessSubject(principal), now)
    }

    /// Asked again when the will is due: rules may be others by now.
    ///
    /// Of a will that the spool kept over a restart only the client id is known. It was judged when it was left; now it
    /// goes out where anybody with that client id might publish.
    func mayPublishWill(of session: Session, _ topic: MQTTString, _ now: Now) -> Bool {
        guard !access.isOpen else { return true }
        return mayPublish(
            topic,
            subject(of: session) ?? AccessSubject(session.principal, knowsUsername: false),
            now
        )
    }

    private func mayPublish(_ topic: MQTTString, _ subject: AccessSubject, _ now: Now) -> Bool {
        let decision = access.publishDecision(for: subject, topic)
        guard !decision.isAllowed else { return true }
        counters.publishesDenied &+= 1
        if denials.admits(now.instant) { logDenial("will denied", decision, topic, subject.principal) }
        return false
    }

    // MARK: - Subscribing

    /// Whether a filter of a SUBSCRIBE is refused; counted and logged. Of `$share/group/filter` the filter counts.
    func denial(of filter: TopicFilter, by session: Session, on connection: Connection, _ now: Now) -> Bool {
        guard let subject = subject(of: session) else { return false }
        let decision = access.subscribeDecision(for: subject, filter)
        guard !decision.isAllowed else { return false }
        counters.subscribesDenied &+= 1
        if admitsDenial(of: connection, now) {
            logDenial("subscribe denied", decision, filter.text, subject.principal)
        }
        return true
    }

    private func maySubscribe(_ session: Session, _ filter: MQTTString) -> Bool {
        guard let subject = subject(of: session) else { return true }
        do throws(DecodeError) {
            let filter = try TopicFilter(validating: filter, maximumLevels: .max)
            return access.subscribeDecision(for: subject, filter).isAllowed
        } catch {
            return false
        }
    }

    // MARK: - Delivering

    /// Whether a message of this topic may be sent to the receiver, whichever subscription it came by.
    ///
    /// - Complexity: as for publishing.
    @inline(__always)
    func mayReceive(_ session: Session, _ topic: MQTTString) -> Bool {
        access.isOpen || isReader(session, topic)
    }

    private func isReader(_ session: Session, _ topic: MQTTString) -> Bool {
        subject(of: session)?.mayReceive(topic, access) ?? true
    }

    /// Takes out of a route whoever may not receive the topic; routes are cached, so that this costs nothing for most
    /// messages.
    func mayReceive(slot: Int32, _ topic: MQTTString) -> Bool {
        guard let session = sessions[Int(slot)] else { return true }
        return mayReceive(session, topic)
    }

    /// Whether a retained message still stands: whoever published it has the right to.
    func isRightful(_ topic: MQTTString) -> Bool {
        guard !access.isOpen, let publisher = retained.publisher(of: topic) else { return true }
        return access.publishDecision(for: publisher, topic).isAllowed
    }

    /// A message that waited for a receiver which may not have it any more.
    func withhold(at position: Position, from session: Session) {
        counters.deliveriesDenied &+= 1
        if let entry = session.window.resend(at: position) {
            giveUp(entry, of: session, .denied)
        } else {
            acknowledge(session, position, as: .dropped, givenUp: .denied)
        }
    }

    // MARK: - The log

    private func admitsDenial(of connection: Connection, _ now: Now) -> Bool {
        // One client that is denied over and over must not hide the others.
        if let last = connection.lastDenial, now.instant.since(last) < .seconds(1) {
            denials.countUnsaid()
            return false
        }
        guard denials.admits(now.instant) else { return false }
        connection.lastDenial = now.instant
        return true
    }

    private func logDenial(_ text: String, _ decision: AccessDecision, _ topic: MQTTString, _ principal: Principal) {
        var detail = "user \(principal.username.map { "\"\($0)\"" } ?? "anonymous")"
        if let address = principal.address { detail += " from \(address)" }
        detail += ", topic \"\(topic.string.prefix(256))\", by \(decision.reason)"
        let unsaid = denials.takeUnsaid()
        if unsaid > 0 { detail += "; \(unsaid) more denials were not logged" }
        outbox.notices.append(
            Notice(.denial, text, clientID: principal.clientID.isEmpty ? nil : principal.clientID, detail: detail)
        )
    }
}

/// Keeps denials, or alarms, from filling the log: so many a second of a shard, the others are counted.
struct DenialLog {
    private static let perSecond = 20
    private var second: Instant?
    private var said = 0
    private var unsaid: UInt64 = 0

    mutating func admits(_ now: Instant) -> Bool {
        if let start = second, now.since(start) < .seconds(1) {
            guard said < Self.perSecond else {
                unsaid &+= 1
                return false
            }
            said += 1
        } else {
            second = now
            said = 1
        }
        return true
    }

    mutating func countUnsaid() { unsaid &+= 1 }

    mutating func takeUnsaid() -> UInt64 {
        defer { unsaid = 0 }
        return unsaid
    }
}

import MQTTCodec

/// What is bounded, looked at from outside: the simulation asks after every turn.
extension Shard {
    /// The first thing that is above its limit, in words; nil when everything is within.
    ///
    /// - Parameter settings: the limits, which are those of the shard unless somebody wants to see this fail.
    /// - Complexity: O(sessions).
    package func brokenBound(of settings: BrokerSettings) -> String? {
        if retained.count > settings.retainedMessagesMax { return "\(retained.count) retained messages" }
        if asked.count > connectionCount { return "\(asked.count) questions about \(connectionCount) connections" }
        var sessionCount = 0
        for case let session? in sessions {
            sessionCount += 1
            if let problem = brokenBound(of: session, settings) { return "\(session.clientID): \(problem)" }
        }
        let timersMax = 2 * sessionCount + connectionCount + 3 * links.count
        // A timer that was cancelled may lie in its bucket for a while.
        if timers.count > 2 * timersMax + 64 { return "\(timers.count) timers of \(sessionCount) sessions" }
        return nil
    }

    private func brokenBound(of lanes: LinkLanes, _ session: Session, _ settings: BrokerSettings) -> String? {
        let pages = max(session.page.count, lanes.next?.entries.count ?? 0)
        if pages > settings.linkPageMessagesMax { return "a page of \(pages)" }
        if lanes.live.count > settings.linkLanes.live { return "\(lanes.live.count) messages ahead in memory" }
        if lanes.listed.count > settings.linkLanes.listed { return "\(lanes.listed.count) listed messages" }
        return nil
    }

    private func brokenBound(of session: Session, _ settings: BrokerSettings) -> String? {
        if session.queue.count > settings.queueMessagesMax { return "\(session.queue.count) messages in memory" }
        if session.queueBytes > settings.queueBytesMax { return "\(session.queueBytes) bytes in memory" }
        if let link = session.link {
            if let problem = brokenBound(of: link.lanes, session, settings) { return problem }
        } else if session.page.count > settings.pageMessagesMax {
            return "a page of \(session.page.count)"
        }
        let unreleasedMax = max(settings.awaitingReleaseMax, Int(settings.receiveMaximum))
        // A link may have left as many as there are identifiers.
        if session.link == nil, session.inbound.count > unreleasedMax, !isLink(session.principal) {
            return "\(session.inbound.count) unreleased"
        }
        if session.subscriptions.count > settings.subscriptionsMax { return "too many subscriptions" }
        guard let connection = session.connection else { return nil }
        // A session that comes back sends all its PUBRELs at once: only PUBLISH is counted by Receive Maximum.
        let published = session.window.publishedCount
        if published > connection.inflightMax { return "\(published) in flight" }
        if session.link == nil, connection.version == .v5, connection.unanswered > receiveMaximum(of: connection) {
            return "\(connection.unanswered) unanswered"
        }
        if connection.stalled.count > stalledMax(of: connection) {
            return "\(connection.stalled.count) wait for room"
        }
        // PUBRELs of a session that comes back are answers too, and those to what waited for room come at once.
        if connection.answers.count > settings.heldAnswersMax + session.window.count + settings.awaitingReleaseMax + 1 {
            return "\(connection.answers.count) answers held"
        }
        return nil
    }
}

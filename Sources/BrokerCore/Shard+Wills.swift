import MQTTCodec

/// Wills: kept, dropped, published, and brought back after a restart (§3.1.2.5).
extension Shard {
    /// The will of a new connection replaces the one before. One of QoS 1 or 2, or of a session that outlives its
    /// connection, is stored, so that it also goes out when the node dies with its client [5:MQTT-3.1.2-7].
    func keepWill(_ will: Connect.Will?, of session: Session, _ now: Now) {
        guard var will else { return dropWill(of: session) }
        will.properties = will.properties.unmarked
        let isStored = will.qos > .atMostOnce || session.receiver != nil
        if !isStored { dropWill(of: session) }
        session.will = Session.PendingWill(will: will, isStored: isStored)
        guard isStored else { return }
        var properties = will.properties
        if properties.willDelayInterval != nil { properties.willDelayInterval = nil }
        let message = Message(
            id: ids.next(now.wall),
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            isRetained: will.isRetained,
            properties: properties,
            expiry: nil
        )
        let delay = will.properties.willDelayInterval ?? 0
        store(.will(WillRecord(clientID: session.clientID, message: message, delay: delay)))
    }

    /// [5:MQTT-3.1.2-10] [311:MQTT-3.1.2-10]
    func dropWill(of session: Session) {
        if session.will?.isStored == true { store(.willGone(clientID: session.clientID)) }
        session.will = nil
    }

    /// A will that the spool kept: its client was connected, or its delay ran, when the process ended.
    ///
    /// A session that outlives its connection gets it back, with its whole delay. Of others the end of the process was
    /// the end; their will waits a moment for the client, and for those who want to hear of it, to return.
    func restoreWill(_ record: WillRecord, _ now: Now) {
        let message = record.message
        var will = Connect.Will(
            topic: message.topic,
            payload: message.payload,
            qos: message.qos,
            isRetained: message.isRetained,
            properties: message.properties
        )
        if record.delay > 0 { will.properties.willDelayInterval = record.delay }
        let session: Session
        var wait = record.delay
        if let known = directory[record.clientID] {
            session = known
        } else {
            session = Session(
                clientID: record.clientID,
                slot: takeSlot(),
                receiver: nil,
                expiryInterval: 0,
                firstPacketID: firstPacketID()
            )
            sessions[Int(session.slot)] = session
            directory[record.clientID] = session
            wait = min(record.delay, Self.orphanedWillSeconds)
            session.expiresAt = now.instant.advanced(by: .seconds(Int64(wait)))
        }
        let due = now.instant.advanced(by: .seconds(Int64(wait)))
        session.will = Session.PendingWill(will: will, due: due, isStored: true)
        armAbsence(session)
    }

    private static let orphanedWillSeconds: UInt32 = 30

    func publishWill(of session: Session, _ now: Now) {
        // [311:MQTT-3.1.2-12] [311:MQTT-3.1.2-8]
        guard let pending = session.will else { return }
        // In the same transaction as what it becomes.
        dropWill(of: session)
        guard mayPublishWill(of: session, pending.will.topic, now) else { return }
        var properties = pending.will.properties
        // All others go out with it, the expiry counted from now [5:§3.1.3.2.3] [5:§3.1.3.2.4] [5:§3.1.3.2.5]
        // [5:§3.1.3.2.6] [5:§3.1.3.2.7].
        if properties.willDelayInterval != nil { properties.willDelayInterval = nil }
        var publication = Publication(
            topic: pending.will.topic,
            payload: pending.will.payload,
            qos: pending.will.qos,
            // [5:MQTT-3.1.2-14] [5:MQTT-3.1.2-15] [311:MQTT-3.1.2-16] [311:MQTT-3.1.2-17]
            isRetained: pending.will.isRetained,
            properties: properties,
            publisher: session.slot,
            subject: subject(of: session)
        )
        // Nobody is there to be told that the retained messages are full: without the flag it is delivered at least.
        if refusal(of: publication) == .quotaExceeded { publication.isRetained = false }
        publication.waitsForRecords = pending.isStored
        publish(publication, now)
    }
}

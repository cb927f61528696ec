import BrokerCore
import MQTTCodec
import NIOCore

/// What a runner does with the outbox of the shard.
extension SimulatedNode {
    /// Performs what the shard wants done, until it wants nothing more.
    func perform() {
        guard let shard, !isPerforming else { return }
        isPerforming = true
        let hasWork = shard.hasWork
        while shard.hasWork {
            append(shard)
            if diesNow() { return }
            send(shard)
            if diesNow() { return }
            close(shard)
            resume(shard)
            for receipt in shard.outbox.receipts {
                simulation.trace("node \(index): receipt for m\(receipt.token)")
                simulation.ledger.published[Int(receipt.token)].takenAt = simulation.clock
            }
            shard.outbox.receipts.removeAll()
            dial(shard)
            for notice in shard.outbox.notices {
                let subject = (notice.clientID ?? notice.link).map { " " + $0.string } ?? ""
                if notice.text == "link down", notice.detail?.hasPrefix("the upstream has no room") == false {
                    simulation.lineWasLost("node \(index) \(notice.detail ?? "")")
                }
                if notice.text == "no room in time", let clientID = notice.clientID {
                    simulation.roomDidNotCome(for: clientID.string)
                }
                simulation.trace("node \(index):\(subject) \(notice.text) \(notice.detail ?? "")")
            }
            shard.outbox.notices.removeAll()
            shard.outbox.changedLinks.removeAll()
        }
        isPerforming = false
        // Nothing grows without a word in the outbox: a line of the ledger, or an order to the runner.
        if hasWork, let problem = shard.brokenBound(of: limits) {
            simulation.fail("node \(index) is over its bounds: \(problem)")
        }
        if linkUpSince == nil, let link = shard.links.first, link.state == .live { linkUpSince = simulation.clock }
        planTimer(shard)
    }

    func append(_ shard: Shard) {
        while !shard.outbox.records.isEmpty || !shard.outbox.loads.isEmpty {
            let records = shard.outbox.records
            let loads = shard.outbox.loads
            shard.outbox.records.removeAll()
            shard.outbox.loads.removeAll()
            book(shard)
            noteReceivers(records)
            if !records.isEmpty { reference.append(shard.ticket) }
            let ticket = records.isEmpty ? Ticket(shard.ticket.number - 1) : shard.ticket
            let first = spool.append(records, loads: loads, ticket: ticket)
            guard !records.isEmpty else { continue }
            shard.appended(first: first, now: simulation.now)
            for line in shard.outbox.ledger where line.entry == .stored { books.note(line, under: ticket) }
            shard.outbox.ledger.removeAll { $0.entry == .stored }
        }
        book(shard)
    }

    private func noteReceivers(_ records: [SpoolRecord]) {
        for record in records {
            switch record {
            case .receiver(let record): receiverNames[record.receiver.number] = record.receiverName(node: index)
            case .receiverGone(let receiver):
                // How full that one was says nothing of a session that the same client begins.
                if let name = receiverNames.removeValue(forKey: receiver.number) { reference.setFull(name, false) }
            default: break
            }
        }
    }

    /// What ends in a turn is stored under the ticket of its records.
    private func book(_ shard: Shard) {
        for line in shard.outbox.ledger { books.note(line, under: shard.ticket) }
        shard.outbox.ledger.removeAll()
    }

    private func send(_ shard: Shard) {
        let touched = shard.outbox.touched
        shard.outbox.touched.removeAll()
        for connection in touched {
            let bytes = shard.takeBytes(of: connection).joined
            guard let port = ports[ObjectIdentifier(connection)] else { continue }
            let count = bytes.readableBytes
            port.orderedBytes += count
            if loops.count > 1, port.orderedBytes > Self.writeBufferBytes, connection.isWritable {
                shard.writabilityChanged(connection, isWritable: false, now: simulation.now)
            }
            order(on: port.loop) {
                let wasMuch = port.orderedBytes > Self.writeBufferBytes
                port.orderedBytes -= count
                guard !port.isClosed else { return }
                port.line.send(bytes, from: port.side)
                self.updateWritability(port)
                if self.loops.count > 1, wasMuch { self.tellWritability(port) }
            }
        }
    }

    private func close(_ shard: Shard) {
        let closes = shard.outbox.closes
        shard.outbox.closes.removeAll()
        for connection in closes {
            forgetConnection(ports[ObjectIdentifier(connection)])
            guard let port = ports[ObjectIdentifier(connection)] else { continue }
            order(on: port.loop) {
                guard !port.isClosed else { return }
                port.isClosed = true
                port.line.close(from: port.side)
                self.hear(on: port.loop) { self.portClosed(port) }
            }
        }
    }

    private func resume(_ shard: Shard) {
        let resumed = shard.outbox.resumed
        shard.outbox.resumed.removeAll()
        for connection in resumed {
            if let port = ports[ObjectIdentifier(connection)] { feed(port) }
        }
    }

    private func dial(_ shard: Shard) {
        let dials = shard.outbox.dials
        shard.outbox.dials.removeAll()
        for dial in dials {
            let life = life
            let epoch = dial.epoch
            let link = dial.link
            let delay = simulation.random.duration(milliseconds: 1...30)
            simulation.schedule(after: delay) {
                guard self.life == life else { return }
                self.connect(link, epoch: epoch)
            }
        }
    }

    func connect(_ link: Link, epoch: UInt64) {
        guard let shard else { return }
        let upstream = simulation.nodes[index + 1]
        guard upstream.isUp else {
            shard.dialFailed(link, epoch: epoch, reason: "refused", now: simulation.now)
            return perform()
        }
        let line = simulation.newLine()
        let login = LinkLogin(username: simulation.options.hasMarks ? Self.linkUser : nil)
        let connection = shard.dialed(
            link, epoch: epoch, peer: "node-\(index + 1)", login: login, now: simulation.now)
        guard let connection else { return perform() }
        add(line, .dialer, connection, PacketDecoder(role: .client, version: connection.version))
        linkLine = line
        _ = upstream.accept(line)
        perform()
    }

    func portClosed(_ port: Port) {
        guard let shard, ports.removeValue(forKey: ObjectIdentifier(port.connection)) != nil else { return }
        shard.closed(port.connection, now: simulation.now)
        forgetConnection(port)
    }

    func forgetConnection(_ port: Port?) {
        guard let port, port.side == .listener, let client = port.client else { return }
        simulation.ledger.losses[client, default: []].append(simulation.clock)
        reference.disconnected(client, line: port.line.id)
        simulation.wills.lost(client, line: port.line.id, at: simulation.clock, &simulation.ledger)
    }

    func updateWritability(_ port: Port) {
        guard isUp, !port.isClosed else { return }
        let bytes = port.line.bytesUnderWay(from: port.side)
        if port.isWritable, bytes > Self.writeBufferBytes {
            port.isWritable = false
            tellWritability(port)
        } else if !port.isWritable, bytes < Self.writeBufferBytes / 2 {
            port.isWritable = true
            tellWritability(port)
        }
    }

    private func tellWritability(_ port: Port) {
        let isWritable = port.isWritable
        hear(on: port.loop) {
            self.shard?.writabilityChanged(port.connection, isWritable: isWritable, now: self.simulation.now)
        }
    }

    private func planTimer(_ shard: Shard) {
        guard shard === self.shard, let next = shard.nextTimer?.nanoseconds else { return }
        if let wakeAt, wakeAt <= next { return }
        wakeAt = next
        let life = life
        simulation.schedule(at: max(next, simulation.clock)) {
            guard self.life == life, self.wakeAt == next, let shard = self.shard else { return }
            self.wakeAt = nil
            shard.timeReached(self.simulation.now)
            self.perform()
            self.planTimer(shard)
        }
    }
}

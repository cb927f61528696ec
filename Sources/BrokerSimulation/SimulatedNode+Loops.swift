import BrokerCore

/// The event loops of a node, as seen from its shard: what their connections hear comes late, loop by loop, and what is
/// to be sent waits until the loop of the connection gets to it. A node with one loop has no such delays.
///
///     line --event--> loop, until its next turn --> shard --order--> loop of the port, until its next turn --> line
extension SimulatedNode {
    /// What one loop has to do in its next turn.
    final class Loop {
        /// For the shard, in the order in which it happened.
        var events: [() -> Void] = []
        /// From the shard, in the order in which it was decided.
        var orders: [() -> Void] = []
        var isAwake = false
    }

    /// Something happened on a loop: the shard hears of it.
    func hear(on loop: Int, _ body: @escaping () -> Void) {
        guard loops.count > 1 else {
            body()
            return perform()
        }
        loops[loop].events.append(body)
        wake(loop)
    }

    /// The shard wants something done on a loop.
    func order(on loop: Int, _ body: @escaping () -> Void) {
        guard loops.count > 1 else { return body() }
        loops[loop].orders.append(body)
        wake(loop)
    }

    private func wake(_ index: Int) {
        let loop = loops[index]
        guard !loop.isAwake else { return }
        loop.isAwake = true
        let life = life
        let delay = simulation.random.duration(milliseconds: simulation.random.once(in: 10) ? 1...60 : 0...3)
        simulation.schedule(after: delay) {
            guard self.life == life else { return }
            loop.isAwake = false
            self.turn(loop)
        }
    }

    /// What waits for the shard goes there, then what the shard wants is done; what comes up on the way is for the next
    /// turn.
    private func turn(_ loop: Loop) {
        let events = loop.events
        loop.events.removeAll()
        for event in events { event() }
        perform()
        guard isUp, !diesNow() else { return }
        var orders = loop.orders
        loop.orders.removeAll()
        if simulation.options.sabotage == .reversedOrders { orders.reverse() }
        for order in orders { order() }
    }

    func forgetLoops() { for index in loops.indices { loops[index] = Loop() } }
}

import BrokerCore
import MQTTCodec

/// Can a message come back over the link that it left by?
extension ConfigurationReader {
    /// The least check against loops: what a 3.1.1 link sends out must not come back over its own subscriptions.
    ///
    /// Version 5 subscribes with No Local, and the bridge bit has the same effect at a broker that knows it. Without
    /// either, an upstream sends our own messages back to us wherever a topic that `out` produces matches a filter of
    /// `in`: a message arrives twice, and where its topic matches `out` again, it is a loop.
    func checkLoops(of link: LinkConfiguration, at place: Place) {
        guard link.echoes else { return }
        for out in link.outRules {
            for `in` in link.inRules {
                guard let echo = `in`.taken(from: out.targetFilter) else { continue }
                let way = "what goes out from \"\(out.filter)\" comes back in through \"\(`in`.filter)\""
                let result = `in`.targetFilter(of: echo)
                guard link.outRules.contains(where: { $0.taken(from: result) != nil }) else {
                    reading.warn("\(way) as \"\(result)\": protocol \"3.1.1\" has no No Local", at: place)
                    continue
                }
                reading.report(
                    "\(way) and would go out again: use protocol = 5, or bridge_bit = true if the upstream is mosquitto, "
                        + "or different topics for the two directions",
                    at: place
                )
                return
            }
        }
    }

    /// Two links to one upstream: No Local and the bridge bit keep a message from coming back over the link by which it
    /// went, not over the other.
    func checkRings() {
        let map = LinkMap([configuration])
        for ring in map.rings() where ring.links.count > 1 {
            let text = "messages go round: " + ring.steps.joined(separator: ", ")
            let place = linkPlaces[ring.links[0]]
            if ring.links.contains(where: { map.links[$0].settings.version != .v5 }) {
                reading.report(text, at: place)
            } else {
                reading.warn(text, at: place)
            }
        }
    }
}

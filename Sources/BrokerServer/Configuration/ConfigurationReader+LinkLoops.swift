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
        guard link.echoes, !link.usesEchoTable else { return }
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

    /// `loop = { echo_table }` of a link: for where nothing else helps, so that it is said when something does, or when it
    /// could not work.
    func readEchoTable(of table: SettingsTable, into link: inout LinkConfiguration) {
        guard let loop = table.table("loop", known: .linkLoop) else { return }
        link.usesEchoTable = loop.boolean("echo_table") ?? false
        guard link.usesEchoTable else { return }
        if link.mayFallBack || !link.versions.allSatisfy({ $0 != .v5 }) {
            loop.report("echo_table", "is only for protocol = \"3.1.1\"; version 5 asks for No Local by itself")
        } else if link.usesBridgeBit {
            loop.report("echo_table", "is not for a link with bridge_bit: nothing comes back there, also no probe")
        } else if link.probe.mode == .off {
            loop.report(
                "echo_table", "wants probe = \"auto\": only a probe that comes back proves that the upstream echoes")
        }
    }

    /// Two links to one upstream: No Local and the bridge bit keep a message from coming back over the link by which it
    /// went, not over the other.
    func checkRings() {
        let map = LinkMap([configuration])
        for ring in map.rings() where ring.links.count > 1 && !ring.isStopped {
            let text = "messages go round: " + ring.steps.joined(separator: ", ")
            let place = linkPlaces[ring.links[0]]
            if ring.links.contains(where: { map.links[$0].settings.hasVersion3 }) {
                reading.report(text, at: place)
            } else {
                reading.warn(text, at: place)
            }
        }
    }
}

import BrokerCore
import MQTTCodec

/// Brokers and the links between them, as several configurations say, and the ways on which a message comes back to
/// where it was.
///
/// It knows filters, not messages: where it finds a way, there are topics that go round by the rules, as long as nothing
/// else stops them. What nothing is known of is one broker for each address.
package struct LinkMap {
    /// A way on which a message comes back to a link that it has crossed, and crosses it again.
    package struct Ring: Sendable, Equatable {
        /// The steps, for people: `"chat/#" goes from a to b over "up"`.
        package var steps: [String]
        /// Places of the links in `links`, each once.
        package var links: [Int]
        /// Whether marks end it: every node on the way is told of every message which one it is, and takes none twice. One
        /// hop without marks makes a new message of it each time round.
        package var isStopped: Bool
    }

    package struct NodeLink: Sendable {
        package let node: String
        package let settings: LinkConfiguration
    }

    /// The links of all nodes, in the order of the configurations.
    package let links: [NodeLink]
    private var edges: [Edge] = []
    private var names: [String]

    /// One direction of one link.
    fileprivate struct Edge {
        var link: Int
        var from: Int
        var to: Int
        var isOutward: Bool
        var rules: [LinkRule]
        /// Whether marks cross it.
        var isMarked: Bool
    }

    package init(_ configurations: [Configuration]) {
        names = configurations.map(\.node.id)
        links = configurations.flatMap { node in node.links.map { NodeLink(node: node.node.id, settings: $0) } }
        var strangers: [String: Int] = [:]
        var number = 0
        for (node, configuration) in configurations.enumerated() {
            for link in configuration.links {
                var upstreams: Set<Int> = []
                for address in link.addresses {
                    let known = configurations.indices.filter {
                        $0 != node && configurations[$0].mayListen(at: address)
                    }
                    // A name that a node has itself tells which one is meant.
                    let meant = known.filter { address.host == names[$0] || address.host.hasPrefix(names[$0] + ".") }
                    upstreams.formUnion(meant.isEmpty ? known : meant)
                    guard known.isEmpty else { continue }
                    let stranger = strangers[address.authority] ?? names.count
                    if stranger == names.count {
                        strangers[address.authority] = stranger
                        names.append(address.authority)
                    }
                    upstreams.insert(stranger)
                }
                for upstream in upstreams.sorted() {
                    let far = configurations.indices.contains(upstream) ? configurations[upstream] : nil
                    let edge = Edge(
                        link: number,
                        from: node,
                        to: upstream,
                        isOutward: true,
                        rules: link.outRules,
                        isMarked: link.carriesMarks(to: far)
                    )
                    edges.append(edge)
                    edges.append(edge.reversed(link.inRules))
                }
                number += 1
            }
        }
    }

    /// Every ring, each once.
    ///
    /// - Parameter stepsMax: a map may have more ways than anybody waits for; what was found until then is answered.
    package func rings(stepsMax: Int = 20_000) -> [Ring] {
        var found: [Ring] = []
        var steps = 0
        for (start, edge) in edges.enumerated() {
            for rule in edge.rules {
                var walk = Walk(start: start, rule: rule, stepsLeft: stepsMax - steps)
                let here = step(edge, rule.filter.text.string)
                let way = Way(steps: [here], links: [edge.link], rules: [rule], isMarked: edge.isMarked)
                follow(rule.targetFilter, along: edge, way, &walk, &found)
                steps = stepsMax - walk.stepsLeft
            }
        }
        return found
    }

    private struct Walk {
        let start: Int
        let rule: LinkRule
        var stepsLeft: Int
        /// Where it has been with which topics.
        var seen: Set<String> = []
    }

    /// What was crossed so far.
    private struct Way {
        var steps: [String]
        var links: [Int]
        var rules: [LinkRule]
        var isMarked: Bool

        func continued(_ step: String, _ edge: Edge, _ rule: LinkRule) -> Way {
            Way(
                steps: steps + [step],
                links: links + [edge.link],
                rules: rules + [rule],
                isMarked: isMarked && edge.isMarked
            )
        }

        /// Whether topics that have come round have the names that they had before: under another name the same message is
        /// another one, and only the number of its hops ends it.
        func keepsNames(of topics: String) -> Bool {
            var names = topics
            for rule in rules {
                guard let taken = rule.taken(from: names) else { return true }
                names = rule.targetFilter(of: taken)
            }
            return names == topics
        }
    }

    /// What arrives over an edge goes on over every other; the same link takes it back only where the upstream echoes.
    private func follow(_ topics: String, along last: Edge, _ way: Way, _ walk: inout Walk, _ found: inout [Ring]) {
        guard way.steps.count <= edges.count,
            walk.seen.insert("\(last.to) \(last.link) \(way.isMarked) \(topics)").inserted
        else { return }
        for (index, edge) in edges.enumerated() where edge.from == last.to {
            if edge.link == last.link, !(last.isOutward && links[edge.link].settings.sendsRound) { continue }
            for rule in edge.rules {
                guard walk.stepsLeft > 0 else { return }
                walk.stepsLeft -= 1
                guard let taken = rule.taken(from: topics) else { continue }
                let next = way.continued(step(edge, taken), edge, rule)
                if index == walk.start, rule == walk.rule {
                    let isStopped = way.isMarked && way.keepsNames(of: taken)
                    note(Ring(steps: next.steps, links: Set(way.links).sorted(), isStopped: isStopped), in: &found)
                    continue
                }
                follow(rule.targetFilter(of: taken), along: edge, next, &walk, &found)
            }
        }
    }

    /// Of several rings over the same links the one that nothing stops is what people have to hear of.
    private func note(_ ring: Ring, in found: inout [Ring]) {
        guard let known = found.firstIndex(where: { $0.links == ring.links }) else { return found.append(ring) }
        if found[known].isStopped, !ring.isStopped { found[known] = ring }
    }

    private func step(_ edge: Edge, _ topics: String) -> String {
        "\"\(topics)\" goes from \(names[edge.from]) to \(names[edge.to]) over \"\(links[edge.link].settings.name)\""
    }
}

extension LinkConfiguration {
    /// Whether the upstream sends back what it got over this link: version 5 asks for No Local, and the bridge bit has the
    /// same effect where it is known.
    var echoes: Bool { hasVersion3 && !usesBridgeBit }

    /// Whether what comes back so is taken for new.
    fileprivate var sendsRound: Bool { echoes && !usesEchoTable }

    /// Whether messages keep their marks over this link: a Drawbridge believes links by their users and tells them so; a
    /// broker of others passes marks on in version 5, and it is for the link to believe them.
    fileprivate func carriesMarks(to upstream: Configuration?) -> Bool {
        guard version == .v5 else { return false }
        guard let upstream else { return trustsIDs && !hasVersion3 }
        return username.map { upstream.authentication.links.contains($0) } ?? false
    }
}

extension LinkMap.Edge {
    fileprivate func reversed(_ rules: [LinkRule]) -> Self {
        Self(link: link, from: to, to: from, isOutward: false, rules: rules, isMarked: isMarked)
    }
}

extension Configuration {
    /// Whether a link to this address could mean this node.
    fileprivate func mayListen(at address: LinkAddress) -> Bool {
        listeners.flatMap(\.addresses).contains { bound in
            guard bound.unixPath == nil, bound.port == address.port else { return false }
            if ["0.0.0.0", "::"].contains(bound.host) { return true }
            return bound.collides(with: BindAddress(host: address.host, port: address.port))
        }
    }
}

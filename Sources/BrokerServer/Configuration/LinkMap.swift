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
    private struct Edge {
        var link: Int
        var from: Int
        var to: Int
        var isOutward: Bool
        var rules: [LinkRule]
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
                    edges.append(Edge(link: number, from: node, to: upstream, isOutward: true, rules: link.outRules))
                    edges.append(Edge(link: number, from: upstream, to: node, isOutward: false, rules: link.inRules))
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
                follow(rule.targetFilter, along: edge, [here], [edge.link], &walk, &found)
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

    /// What arrives over an edge goes on over every other; the same link takes it back only where the upstream echoes.
    private func follow(
        _ topics: String,
        along last: Edge,
        _ steps: [String],
        _ crossed: [Int],
        _ walk: inout Walk,
        _ found: inout [Ring]
    ) {
        guard steps.count <= edges.count, walk.seen.insert("\(last.to) \(last.link) \(topics)").inserted else { return }
        for (index, edge) in edges.enumerated() where edge.from == last.to {
            if edge.link == last.link, !(last.isOutward && links[edge.link].settings.echoes) { continue }
            for rule in edge.rules {
                guard walk.stepsLeft > 0 else { return }
                walk.stepsLeft -= 1
                guard let taken = rule.taken(from: topics) else { continue }
                if index == walk.start, rule == walk.rule {
                    let ring = Set(crossed)
                    if !found.contains(where: { Set($0.links) == ring }) {
                        found.append(Ring(steps: steps + [step(edge, taken)], links: ring.sorted()))
                    }
                    continue
                }
                follow(
                    rule.targetFilter(of: taken),
                    along: edge,
                    steps + [step(edge, taken)],
                    crossed + [edge.link],
                    &walk,
                    &found
                )
            }
        }
    }

    private func step(_ edge: Edge, _ topics: String) -> String {
        "\"\(topics)\" goes from \(names[edge.from]) to \(names[edge.to]) over \"\(links[edge.link].settings.name)\""
    }
}

extension LinkConfiguration {
    /// Whether the upstream sends back what it got over this link: version 5 asks for No Local, and the bridge bit has the
    /// same effect where it is known.
    var echoes: Bool { hasVersion3 && !usesBridgeBit }
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

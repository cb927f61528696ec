/// What the load looks like.
package enum BenchScenario: String, Sendable, CaseIterable {
    /// Connections that do nothing, or come and go.
    case conn
    /// Subscribers; whoever publishes is somewhere else.
    case sub
    /// Publishers; whoever subscribes is somewhere else.
    case pub
    /// One publisher and one subscriber to a topic, many topics.
    case pair
    /// Many publishers, few subscribers who hear all of them.
    case fanin
    /// Few publishers to one topic, many subscribers.
    case fanout
    /// Groups whose members all publish and all hear one another, themselves included.
    case chat
    /// Connections with a subscription that wait, and at the end one message for each topic.
    case idle
    /// Sessions whose clients are away while messages queue for them, and come back.
    case backlog

    /// Clients (`-c`) unless told: publishers of `fanin`, subscribers of `fanout`, pairs, members of all groups, sessions,
    /// connections.
    var defaultCount: Int {
        switch self {
        case .conn, .sub, .pub, .chat: 200
        case .pair, .fanout: 100
        case .fanin: 50
        case .idle: 1000
        case .backlog: 10
        }
    }

    /// Whether this process hears what it publishes, so that it can tell what is lost.
    var hearsItself: Bool {
        switch self {
        case .conn, .sub, .pub: false
        case .pair, .fanin, .fanout, .chat, .idle, .backlog: true
        }
    }
}

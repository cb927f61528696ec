import BrokerCore
import MQTTCodec

/// What a row of the table `receiver` says of its kind.
package enum ReceiverKind: Int64, Sendable, Hashable {
    case session = 0
    case link = 1
    case group = 2

    /// As people read it.
    package var word: String {
        switch self {
        case .session: "session"
        case .link: "link"
        case .group: "group"
        }
    }

    func named(_ name: MQTTString) -> ReceiverRecord.Kind {
        switch self {
        case .session: .session(clientID: name)
        case .link: .link(name: name)
        case .group: .group(filter: name)
        }
    }
}

extension ReceiverRecord.Kind {
    var inTable: ReceiverKind {
        switch self {
        case .session: .session
        case .link: .link
        case .group: .group
        }
    }

    /// The client id of a session, the name of a link, the filter of a group.
    var name: MQTTString {
        switch self {
        case .session(let name), .link(let name), .group(let name): name
        }
    }
}

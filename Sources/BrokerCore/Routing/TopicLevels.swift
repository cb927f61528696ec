import MQTTCodec

extension MQTTString {
    /// The levels between slashes, empty ones included (§4.7.1.1). O(bytes); for subscribing and for the first message
    /// of a topic only, since routes are cached.
    var levels: [MQTTString] {
        utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map {
            MQTTString(String(Substring($0)))
        }
    }

    /// Topics that begin with `$` belong to the server: wildcards at the first level do not match them
    /// [5:MQTT-4.7.2-1] [311:MQTT-4.7.2-1].
    var isReserved: Bool { unsafe withBytes { unsafe $0.first == UInt8(ascii: "$") } }

    /// Whether nobody but the server may publish there: all reserved topics but one, on which brokers say of their links
    /// to us that these are up, or down by their wills, as they do to mosquitto. Access rules count there as everywhere.
    var isServers: Bool { isReserved && !isConnectionState }

    private var isConnectionState: Bool {
        guard utf8.starts(with: "$SYS/broker/connection/".utf8) else { return false }
        let levels = levels
        return levels.count == 5 && levels[4] == "state" && !levels[3].isEmpty
    }
}

/// An arrow of a topic tree: all arrows live in one dictionary, nodes are numbers.
struct TopicEdge: Hashable {
    let parent: Int32
    let level: MQTTString
}

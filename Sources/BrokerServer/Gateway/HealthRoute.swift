package import BrokerCore
import MQTTCodec

/// `GET /healthz`: is the node alive, and what are its links doing.
package enum HealthRoute {
    package static let path = "/healthz"

    package static func answer(_ health: NodeHealth) -> HTTPAnswer {
        var json = JSONText()
        json.object { json in
            json.member("status", "ok")
            json.member("connections", health.connections)
            json.array("links") { json in
                for link in health.links {
                    json.object { json in
                        json.member("name", link.name.string)
                        json.member("state", link.state)
                        json.member("queued", link.queued)
                    }
                }
            }
        }
        return .json(json)
    }
}

package import BrokerCore
import MQTTCodec
import NIOHTTP1

/// `GET /healthz`: is the node alive, and what are its links doing.
package enum HealthRoute {
    package static let path = "/healthz"

    /// 200 when all is well, 503 when nothing can be stored: what needs no storing goes on then.
    package static func answer(_ health: NodeHealth) -> HTTPAnswer {
        var json = JSONText()
        json.object { json in
            json.member("status", health.spoolTrouble == nil ? "ok" : "sick")
            json.object("spool") { json in
                json.member("status", health.spoolTrouble == nil ? "ok" : "sick")
                if let trouble = health.spoolTrouble { json.member("reason", trouble) }
            }
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
        return .json(json, status: health.spoolTrouble == nil ? .ok : .serviceUnavailable)
    }
}

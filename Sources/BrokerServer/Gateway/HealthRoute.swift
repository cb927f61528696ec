package import BrokerCore
import MQTTCodec
import NIOHTTP1

/// `GET /healthz`: is the node alive, and what are its links doing.
package enum HealthRoute {
    package static let path = "/healthz"

    /// 200 when all is well, 503 when nothing can be stored: what needs no storing goes on then.
    package static func answer(_ health: NodeHealth, certificates: [CertificateStatus] = []) -> HTTPAnswer {
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
                        json.member("since", Int(clamping: link.since.microseconds / 1_000_000))
                        json.member("queued", link.queued)
                        json.member("queued_bytes", link.queuedBytes)
                        if let error = link.lastError { json.member("last_error", error) }
                    }
                }
            }
            // An expired certificate is a matter for people: restarting the node, as whoever reads the status might,
            // would mend nothing.
            if !certificates.isEmpty {
                json.array("certificates") { json in
                    for certificate in certificates {
                        json.object { json in
                            json.member("of", certificate.owner)
                            json.member("status", certificate.freshness.rawValue)
                            json.member("expires", certificate.facts.expiryDate)
                            json.member("days_left", Int(certificate.daysLeft))
                        }
                    }
                }
            }
        }
        return .json(json, status: health.spoolTrouble == nil ? .ok : .serviceUnavailable)
    }
}

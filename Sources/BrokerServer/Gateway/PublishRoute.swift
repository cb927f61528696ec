package import BrokerCore
import MQTTCodec
import NIOCore
package import NIOHTTP1

/// `POST` or `PUT /v1/publish/{topic...}?qos=0|1|2&retain=true|false`: the body becomes the payload of a PUBLISH.
///
/// The topic is what follows the prefix in the raw path, decoded level by level; nothing is normalised, so `/a`, `a//b`
/// and `a/` are three topics and `.` is a name like any other. `%2F` is refused: a level cannot hold a slash, and
/// reading it as a separator would make two spellings of one topic, of which an access rule in front of us knows one.
/// The QoS is 1 unless the query says otherwise: whoever uses HTTP expects that 200 means kept.
package enum PublishRoute {
    package static let prefix = "/v1/publish/"

    private static let topicBytesMax = 65_535
    private static let contentTypeBytesMax = 256

    /// Everything of the message but its payload, or why it is refused. Decided before the body arrives.
    package static func request(path: Substring, query: Substring?, head: HTTPRequestHead) -> PublishRequest {
        guard head.method == .POST || head.method == .PUT else {
            return .refused(.methodNotAllowed(allow: "POST, PUT"))
        }
        do throws(PublishProblem) {
            let topic = try topic(path: path.utf8.dropFirst(prefix.utf8.count))
            let options = try options(query: query)
            var message = GatewayPublish(
                topic: topic,
                payload: ByteBuffer(),
                qos: options.qos,
                isRetained: options.isRetained
            )
            message.properties = try properties(head.headers)
            return .accepted(message)
        } catch {
            return .refused(.problem(error.status, error.detail))
        }
    }

    package static func answer(_ receipt: GatewayReceipt) -> HTTPAnswer {
        var json = JSONText()
        json.object { json in
            json.member("id", receipt.id.description)
            json.member("durable", receipt.isDurable)
            json.member("matched", receipt.matched)
            json.array("links") { json in
                for link in receipt.links {
                    json.object { json in
                        json.member("name", link.string)
                        json.member("queued", true)
                    }
                }
            }
        }
        return .json(json)
    }

    package static func answer(_ error: any Error) -> HTTPAnswer {
        switch error as? GatewayRefusal {
        case .full: .problem(.insufficientStorage, "The message cannot be stored now; it was not delivered to anybody.")
        case .notAllowed: .problem(.forbidden, "Publishing to this topic is not allowed.")
        case .topic:
            .problem(.badRequest, "The topic is too long or deep, or has characters that are not allowed here.")
        case .qosNotSupported: .problem(.forbidden, "This port takes no such qos; without one in the query it is 1.")
        case .retainNotSupported: .problem(.forbidden, "Nothing is retained here.")
        case .draining, nil: .problem(.serviceUnavailable, "This node does not accept messages now.")
        }
    }

    private static func topic(path: Substring.UTF8View.SubSequence) throws(PublishProblem) -> MQTTString {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(path.count)
        var rest = path.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                // The HTTP parser refuses such targets, and would put U+FFFD where one is not UTF-8.
                guard byte < 0x80 else { throw PublishProblem("Characters outside ASCII are percent-encoded.") }
                bytes.append(byte)
                continue
            }
            guard let high = hexDigit(rest.next()), let low = hexDigit(rest.next()) else {
                throw PublishProblem("The topic holds a % that is not followed by two hexadecimal digits.")
            }
            let decoded = high << 4 | low
            guard decoded != UInt8(ascii: "/") else {
                throw PublishProblem(
                    "The topic holds %2F: a slash cannot stand inside a level. Write / between levels.")
            }
            bytes.append(decoded)
        }
        // [5:MQTT-4.7.3-1] [311:MQTT-4.7.3-1] a topic has at least one character.
        guard !bytes.isEmpty else { throw PublishProblem("The topic is empty.") }
        // [5:MQTT-4.7.3-3] [311:MQTT-4.7.3-3] and at most 65,535 bytes.
        guard bytes.count <= topicBytesMax else { throw PublishProblem("The topic is longer than 65535 bytes.") }
        // [5:MQTT-4.7.3-2] [311:MQTT-4.7.3-2] no U+0000 in a topic.
        guard !bytes.contains(0) else { throw PublishProblem("The topic holds the character U+0000.") }
        // [5:MQTT-3.3.2-2] [311:MQTT-3.3.2-2] no wildcards in the topic of a PUBLISH.
        guard !bytes.contains(UInt8(ascii: "#")), !bytes.contains(UInt8(ascii: "+")) else {
            throw PublishProblem("The topic holds a wildcard (+ or #). Those are for subscribing.")
        }
        // [5:MQTT-1.5.4-1] [311:MQTT-1.5.3-1] strings are well-formed UTF-8.
        guard let topic = String(validating: bytes, as: UTF8.self) else {
            throw PublishProblem("The topic is not UTF-8.")
        }
        guard bytes.first != UInt8(ascii: "$") else {
            throw PublishProblem(.forbidden, "Topics that begin with $ belong to the server.")
        }
        return MQTTString(topic)
    }

    private static func hexDigit(_ byte: UInt8?) -> UInt8? {
        guard let byte else { return nil }
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return byte - UInt8(ascii: "A") + 10
        default: return nil
        }
    }

    private static func options(query: Substring?) throws(PublishProblem) -> (qos: QoS, isRetained: Bool) {
        var qos: QoS?
        var isRetained: Bool?
        for pair in (query ?? "").split(separator: "&", omittingEmptySubsequences: true) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count == 2 ? parts[1] : ""
            switch parts[0] {
            case "qos":
                guard qos == nil else { throw PublishProblem("qos is given twice.") }
                switch value {
                case "0": qos = .atMostOnce
                case "1": qos = .atLeastOnce
                case "2": qos = .exactlyOnce
                default: throw PublishProblem("qos is 0, 1 or 2.")
                }
            case "retain":
                guard isRetained == nil else { throw PublishProblem("retain is given twice.") }
                switch value {
                case "true": isRetained = true
                case "false": isRetained = false
                default: throw PublishProblem("retain is true or false.")
                }
            default:
                throw PublishProblem("The query knows qos and retain only.")
            }
        }
        return (qos ?? .atLeastOnce, isRetained ?? false)
    }

    /// An explicit Content-Type travels with the message; the one that curl adds by itself says nothing.
    private static func properties(_ headers: HTTPHeaders) throws(PublishProblem) -> Properties {
        var properties = Properties()
        let values = headers["Content-Type"]
        guard let value = values.first, !value.isEmpty, value != "application/x-www-form-urlencoded" else {
            return properties
        }
        guard values.count == 1, value.utf8.count <= contentTypeBytesMax,
            value.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
        else {
            throw PublishProblem("Content-Type is one field of at most 256 ASCII characters.")
        }
        properties.contentType = MQTTString(value)
        return properties
    }
}

/// A message whose payload is still to come, or the answer that refuses it.
package enum PublishRequest: Sendable {
    case accepted(GatewayPublish)
    case refused(HTTPAnswer)
}

private struct PublishProblem: Error {
    let status: HTTPResponseStatus
    let detail: String

    init(_ detail: String) { self.init(.badRequest, detail) }

    init(_ status: HTTPResponseStatus, _ detail: String) {
        self.status = status
        self.detail = detail
    }
}

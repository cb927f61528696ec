import Crypto
import Foundation
package import NIOCore

/// The client's opening handshake of a WebSocket (RFC 6455 §4.1): the request, and the judgement of the answer.
package struct WebSocketOpening: LinkOpening {
    /// What tells our answer from somebody else's in a cache.
    package struct Key: Sendable {
        package let text: String

        package init(text: String) { self.text = text }

        package static func random() -> Key {
            Key(text: Data((0..<16).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString())
        }
    }

    private static let subprotocol = "mqtt"

    private let address: LinkAddress
    private let key: Key

    package init(address: LinkAddress, key: Key) {
        self.address = address
        self.key = key
    }

    /// The request's bytes.
    package var request: String {
        """
        GET \(address.path) HTTP/1.1\r
        Host: \(address.port == address.transport.defaultPort ? hostWithoutPort : address.authority)\r
        Upgrade: websocket\r
        Connection: Upgrade\r
        Sec-WebSocket-Key: \(key.text)\r
        Sec-WebSocket-Version: 13\r
        Sec-WebSocket-Protocol: \(Self.subprotocol)\r
        \r

        """
    }

    package var lateText: String { "no answer to the WebSocket upgrade in time" }
    package var closedText: String { "closed by the other side during the WebSocket upgrade" }
    package func text(of error: any Error) -> String { TLSFailure.alert(error) ?? "\(error)" }

    private var hostWithoutPort: String { String(address.authority.dropLast("\(address.port)".count + 1)) }

    package func isAccepted(by received: inout ByteBuffer) throws(OpeningRefusal) -> Bool {
        let endless = "the answer to the WebSocket upgrade does not end"
        guard let head = try AnswerHead.take(from: &received, endless: endless) else { return false }
        try judge(head.components(separatedBy: "\r\n"))
        return true
    }

    private func judge(_ lines: [String]) throws(OpeningRefusal) {
        let status = lines.first ?? ""
        guard status.hasPrefix("HTTP/1.1 ") else {
            throw OpeningRefusal(reason: "the other side does not speak HTTP/1.1 here")
        }
        guard status.hasPrefix("HTTP/1.1 101") else {
            throw OpeningRefusal(
                reason: "the WebSocket upgrade at \(address.path) is answered with \(status.dropFirst(9).prefix(60))")
        }
        var fields: [String: [String]] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[colon...].dropFirst().trimmingCharacters(in: .whitespaces)
            fields[line[..<colon].lowercased(), default: []].append(value)
        }
        guard fields["upgrade"]?.first?.lowercased() == "websocket",
            fields["connection"]?.contains(where: { $0.lowercased().contains("upgrade") }) == true,
            fields["sec-websocket-accept"] == [expectedAccept]
        else {
            throw OpeningRefusal(reason: "the answer to the WebSocket upgrade is not for us; is there a proxy between?")
        }
        guard fields["sec-websocket-extensions"] == nil else {
            throw OpeningRefusal(reason: "the other side wants WebSocket extensions that were not offered")
        }
        // [5:MQTT-6.0.0-3] [311:MQTT-6.0.0-3] both sides agree on `mqtt`.
        guard fields["sec-websocket-protocol"] == [Self.subprotocol] else {
            throw OpeningRefusal(reason: "the WebSocket at \(address.path) is not one for MQTT (no subprotocol `mqtt`)")
        }
    }

    private var expectedAccept: String {
        let text = key.text + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        return Data(Insecure.SHA1.hash(data: Data(text.utf8))).base64EncodedString()
    }
}

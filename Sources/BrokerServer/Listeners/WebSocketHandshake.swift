package import NIOHTTP1

/// Judges the opening handshake of a WebSocket (RFC 6455 §4.2.1) before anything is answered.
package struct WebSocketHandshake: Sendable {
    package enum Verdict: Sendable, Equatable {
        /// The subprotocol to answer with; nil when none was offered and none is required.
        case accepted(subprotocol: String?)
        case refused(HTTPAnswer)
    }

    private let paths: [String]
    private let subprotocols: [String]
    private let requiresSubprotocol: Bool

    package init(paths: [String], subprotocols: [String], requiresSubprotocol: Bool) {
        self.paths = paths
        self.subprotocols = subprotocols
        self.requiresSubprotocol = requiresSubprotocol
    }

    /// True when the request asks for a WebSocket. Any other Upgrade (`h2c` of Java's client) is an offer that a
    /// server may leave aside (RFC 9110 §7.8).
    package static func isAskedFor(by head: HTTPRequestHead) -> Bool {
        head.headers[canonicalForm: "Upgrade"].contains { $0.lowercased() == "websocket" }
    }

    package func isPath(_ path: Substring) -> Bool { paths.contains { $0 == path } }

    /// Judges a request for which `isAskedFor` holds. Path and origin come first in what the caller checks.
    package func judge(path: Substring, head: HTTPRequestHead) -> Verdict {
        guard isPath(path) else {
            return .refused(
                .text(
                    .notFound, "There is no WebSocket at this path. MQTT is at " + paths.joined(separator: ", ") + ".")
            )
        }
        guard head.method == .GET, head.version.minor >= 1 else {
            return .refused(.text(.badRequest, "A WebSocket is opened with GET and HTTP/1.1."))
        }
        guard head.headers[canonicalForm: "Connection"].contains(where: { $0.lowercased() == "upgrade" }) else {
            return .refused(.text(.badRequest, "Upgrade needs Connection: Upgrade. Does a proxy drop it?"))
        }
        guard !head.announcesBody else {
            return .refused(.text(.badRequest, "A request that opens a WebSocket has no body."))
        }
        guard head.headers["Sec-WebSocket-Version"] == ["13"] else {
            var answer = HTTPAnswer.text(.upgradeRequired, "Only version 13 of the WebSocket protocol is spoken here.")
            answer.headers.add(name: "Sec-WebSocket-Version", value: "13")
            return .refused(answer)
        }
        let keys = head.headers["Sec-WebSocket-Key"]
        guard keys.count == 1, keys.allSatisfy(Self.isKey) else {
            return .refused(.text(.badRequest, "Sec-WebSocket-Key is 16 bytes in base64."))
        }
        return judge(offered: head.headers[canonicalForm: "Sec-WebSocket-Protocol"].map(String.init))
    }

    private func judge(offered: [String]) -> Verdict {
        if offered.isEmpty, !requiresSubprotocol {
            return .accepted(subprotocol: nil)
        }
        // [5:MQTT-6.0.0-4] [311:MQTT-6.0.0-4] the answer names `mqtt`, or the older name that was offered instead.
        if let chosen = subprotocols.first(where: offered.contains) {
            return .accepted(subprotocol: chosen)
        }
        // [5:MQTT-6.0.0-3] [311:MQTT-6.0.0-3] a client offers it.
        let accepted = subprotocols.joined(separator: ", ")
        let said = offered.isEmpty ? "none" : offered.joined(separator: ", ")
        return .refused(
            .text(.badRequest, "Subprotocols offered (Sec-WebSocket-Protocol): \(said). Accepted here: \(accepted).")
        )
    }

    /// 16 bytes in base64: 22 characters of its alphabet and two signs of padding.
    private static func isKey(_ key: String) -> Bool {
        key.utf8.count == 24 && key.hasSuffix("==")
            && key.utf8.dropLast(2).allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                    true
                default: false
                }
            }
    }
}

extension HTTPRequestHead {
    /// True when body bytes follow this head.
    package var announcesBody: Bool {
        headers.contains(name: "Transfer-Encoding")
            || headers["Content-Length"].contains { value in value.utf8.contains { $0 != UInt8(ascii: "0") } }
    }
}

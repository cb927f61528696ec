package import BrokerCore
package import NIOHTTP1

/// Decides from the head of a request what is to be done with it: the router of a web port.
///
/// A value without channel or clock. `WebConnectionHandler` performs what it says.
package struct HTTPGateway: Sendable {
    package enum Verdict: Sendable {
        /// Known already, whatever the body.
        case answer(HTTPAnswer)
        /// The same, and the connection ends: where one request ends and the next begins is in doubt.
        case refuse(HTTPAnswer)
        /// Publish this with the body as payload.
        case publish(GatewayPublish)
        case health
        case metrics
        /// Answer 101 and leave HTTP; the subprotocol goes into the answer.
        case openWebSocket(subprotocol: String?)
    }

    private let origins: OriginRule
    private let handshake: WebSocketHandshake
    private let pages: StaticPages?
    private let bodyBytesMax: Int

    package init(origins: OriginRule, handshake: WebSocketHandshake, pages: StaticPages?, bodyBytesMax: Int) {
        self.origins = origins
        self.handshake = handshake
        self.pages = pages
        self.bodyBytesMax = bodyBytesMax
    }

    /// - Parameter localAddress: the address at which the connection was accepted.
    package func judge(_ head: HTTPRequestHead, localAddress: NetworkAddress?) -> Verdict {
        if let refusal = Self.refusal(of: head) {
            return .refuse(refusal)
        }
        let (path, query) = Self.target(of: head)
        if WebSocketHandshake.isAskedFor(by: head) {
            guard passes(head, localAddress) else { return .answer(Self.foreignPage) }
            switch handshake.judge(path: path, head: head) {
            case .accepted(let subprotocol): return .openWebSocket(subprotocol: subprotocol)
            case .refused(let answer): return .answer(answer)
            }
        }
        if path.hasPrefix(PublishRoute.prefix) {
            guard passes(head, localAddress) else { return .answer(Self.foreignPage) }
            return publish(path: path, query: query, head: head)
        }
        if path == HealthRoute.path || path == MetricsRoute.path {
            guard passes(head, localAddress),
                origins.acceptsHost(head.headers.first(name: "Host"), localAddress: localAddress)
            else { return .answer(Self.foreignPage) }
            guard head.method == .GET || head.method == .HEAD else {
                return .answer(.methodNotAllowed(allow: "GET, HEAD"))
            }
            // Whoever asks needs no login, and gets nothing kept.
            guard !head.announcesBody else { return .answer(.problem(.badRequest, "A question has no body.")) }
            return path == HealthRoute.path ? .health : .metrics
        }
        // Pages hold no secrets, and without a CORS answer no other page can read them: no Origin is asked for.
        if let answer = pages?.answer(path: String(path), head: head) {
            return .answer(answer)
        }
        if handshake.isPath(path) {
            var answer = HTTPAnswer.text(.upgradeRequired, "This path speaks MQTT over WebSocket.")
            answer.headers.add(name: "Upgrade", value: "websocket")
            return .answer(answer)
        }
        return .answer(.problem(.notFound, "There is nothing at this path."))
    }

    private func publish(path: Substring, query: Substring?, head: HTTPRequestHead) -> Verdict {
        switch PublishRoute.request(path: path, query: query, head: head) {
        case .refused(let answer):
            return .answer(answer)
        case .accepted(let message):
            if let text = head.headers.first(name: "Content-Length"), Int(text).map({ $0 > bodyBytesMax }) ?? true {
                return .answer(bodyTooLarge)
            }
            return .publish(message)
        }
    }

    /// What to say when a body outgrows the limit, announced or not.
    package var bodyTooLarge: HTTPAnswer {
        .problem(.payloadTooLarge, "The body is larger than \(bodyBytesMax) bytes.")
    }

    private func passes(_ head: HTTPRequestHead, _ localAddress: NetworkAddress?) -> Bool {
        origins.accepts(
            origins: head.headers["Origin"],
            host: head.headers.first(name: "Host"),
            localAddress: localAddress
        )
    }

    private static let foreignPage = HTTPAnswer.problem(
        .forbidden,
        "A web page of this origin may not use this address. Open it under the listener's own name, or configure origins."
    )

    private static func target(of head: HTTPRequestHead) -> (path: Substring, query: Substring?) {
        guard let mark = head.uri.firstIndex(of: "?") else { return (head.uri[...], nil) }
        return (head.uri[..<mark], head.uri[head.uri.index(after: mark)...])
    }

    /// What the parser lets pass and we do not: each of these can mean one thing to us and another to a proxy.
    private static func refusal(of head: HTTPRequestHead) -> HTTPAnswer? {
        let hosts = head.headers["Host"]
        guard hosts.count == 1 || hosts.isEmpty && head.version.minor == 0 else {
            return .problem(.badRequest, "A request has one Host field.")
        }
        let encodings = head.headers["Transfer-Encoding"]
        guard encodings.isEmpty || head.headers["Content-Length"].isEmpty else {
            return .problem(.badRequest, "A request has Content-Length or Transfer-Encoding, not both.")
        }
        guard encodings.isEmpty || encodings.count == 1 && encodings.allSatisfy({ $0.lowercased() == "chunked" }) else {
            return .problem(.notImplemented, "The only transfer encoding known here is chunked.")
        }
        guard head.headers["Content-Length"].count <= 1 else {
            return .problem(.badRequest, "A request has one Content-Length.")
        }
        guard head.method != .CONNECT, head.uri.hasPrefix("/"), !head.uri.contains("#") else {
            return .problem(.badRequest, "The target of a request is a path.")
        }
        let expectations = head.headers["Expect"]
        guard expectations.allSatisfy({ $0.lowercased() == "100-continue" }) else {
            return .problem(.expectationFailed, "The only expectation known here is 100-continue.")
        }
        return nil
    }
}

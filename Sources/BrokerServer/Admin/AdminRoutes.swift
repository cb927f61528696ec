package import NIOCore
package import NIOHTTP1

/// One request to the administration of a node, whole.
package struct AdminRequest: Sendable {
    package var method: HTTPMethod
    package var path: String
    /// Without the question mark.
    package var query: String
    package var body: ByteBuffer

    package init(method: HTTPMethod, uri: String, body: ByteBuffer) {
        self.method = method
        self.body = body
        let parts = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts.first ?? "")
        query = parts.count > 1 ? String(parts[1]) : ""
    }

    /// The value of a parameter; the parameters of these routes are words and numbers, so nothing is unescaped.
    package func parameter(_ name: String) -> String? {
        for part in query.split(separator: "&") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2, pair[0] == name { return String(pair[1]) }
        }
        return nil
    }
}

/// Something that the administration of a node can be asked.
package struct AdminRoute: Sendable {
    /// Through which door it may be asked.
    package enum Door: Sendable {
        /// Any: it only tells.
        case any
        /// Only the Unix socket, whose permissions say who may: it writes files.
        case socket
    }

    package let method: HTTPMethod
    package let path: String
    package let door: Door
    /// Called from any thread.
    package let answer: @Sendable (AdminRequest) async -> HTTPAnswer

    package init(
        _ method: HTTPMethod,
        _ path: String,
        door: Door,
        _ answer: @escaping @Sendable (AdminRequest) async -> HTTPAnswer
    ) {
        self.method = method
        self.path = path
        self.door = door
        self.answer = answer
    }
}

/// The table of all routes. It knows nothing of sockets, so that every door serves the same ones.
package struct AdminRoutes: Sendable {
    private let routes: [AdminRoute]

    package init(_ routes: [AdminRoute]) { self.routes = routes }

    package func answer(_ request: AdminRequest, at door: AdminRoute.Door) async -> HTTPAnswer {
        let here = routes.filter { $0.path == request.path && ($0.door == .any || $0.door == door) }
        guard !here.isEmpty else { return .problem(.notFound, "There is nothing at this path.") }
        guard let route = here.first(where: { $0.method == request.method }) else {
            return .methodNotAllowed(allow: here.map(\.method.rawValue).joined(separator: ", "))
        }
        return await route.answer(request)
    }
}

import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import NIOHTTP1
import NIOPosix
import Spool

/// What a node can be asked about its links, and what they can be told.
enum LinkRoutes {
    static let path = "/admin/v1/links"

    /// - Parameters:
    ///   - accounts: asks the shard.
    ///   - act: tells it; answers whether there is such a link.
    static func all(
        _ spool: Spool,
        accounts: @escaping @Sendable () async -> [LinkAccount],
        act: @escaping @Sendable (LinkAction, MQTTString) async -> Bool,
        now: @escaping @Sendable () -> Timestamp
    ) -> [AdminRoute] {
        [
            AdminRoute(.GET, path, door: .any) { _ in
                let accounts = await accounts()
                do {
                    let receivers = accounts.map(\.receiver)
                    let arrivals = try await NIOThreadPool.singleton.runIfActive { try spool.arrivals(of: receivers) }
                    return try answer(LinksOverview(accounts, arrivals, now: now()))
                } catch {
                    return .problem(.internalServerError, "\(error)")
                }
            },
            AdminRoute(.POST, path, door: .socket) { request in
                guard let order = LinkOrder(request.body), let action = LinkAction(rawValue: order.action) else {
                    let actions = LinkAction.allCases.map(\.rawValue).joined(separator: ", ")
                    return .problem(
                        .badRequest,
                        "The body is {\"link\": \"name\", \"action\": \"...\"}, with one of \(actions)."
                    )
                }
                guard await act(action, MQTTString(order.link)) else {
                    return .problem(.notFound, "No link has the name \(order.link).")
                }
                return done
            },
        ]
    }

    private static var done: HTTPAnswer {
        HTTPAnswer(
            status: .ok,
            headers: ["Content-Type": "application/json", "Cache-Control": "no-store"],
            body: ByteBuffer(string: "{\"done\":true}\n")
        )
    }

    private static func answer(_ overview: LinksOverview) throws -> HTTPAnswer {
        HTTPAnswer(
            status: .ok,
            headers: ["Content-Type": "application/json", "Cache-Control": "no-store"],
            body: ByteBuffer(bytes: try overview.encoded() + Data("\n".utf8))
        )
    }
}

/// The body of `POST /admin/v1/links`.
package struct LinkOrder: Codable, Sendable {
    package var link: String
    package var action: String

    package init(link: String, action: String) {
        self.link = link
        self.action = action
    }

    init?(_ body: ByteBuffer) {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(body.readableBytesView))
        } catch {
            return nil
        }
    }
}

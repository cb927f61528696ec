import Foundation
import NIOCore
import NIOHTTP1
import Spool

/// What can be done with the queue of a link. All of it through the socket only: it shows payloads, takes messages away
/// and writes files.
enum LinkQueueRoutes {
    static let path = "/admin/v1/links/queue/"

    static func all(_ desk: LinkQueueDesk) -> [AdminRoute] {
        [
            route("peek", desk) { try await desk.peek($0).encoded() },
            route("drop", desk) { try await desk.drop($0).encoded() },
            route("export", desk) { try await desk.export($0).encoded() },
            route("replay", desk) { try await desk.replay($0).encoded() },
            route("import", desk) { try await desk.takeIn($0).encoded() },
        ]
    }

    private static func route(
        _ name: String,
        _ desk: LinkQueueDesk,
        _ work: @escaping @Sendable (LinkQueueOrder) async throws -> Data
    ) -> AdminRoute {
        AdminRoute(.POST, path + name, door: .socket) { request in
            do {
                let order = try LinkQueueOrder.decoded(Data(request.body.readableBytesView))
                return HTTPAnswer(
                    status: .ok,
                    headers: ["Content-Type": "application/json", "Cache-Control": "no-store"],
                    body: ByteBuffer(bytes: try await work(order) + Data("\n".utf8))
                )
            } catch let refusal as LinkQueueDesk.Refusal {
                return problem(refusal)
            } catch is DecodingError {
                return .problem(.badRequest, #"The body is {"link": "name"}, and what else is wanted."#)
            } catch {
                return .problem(.internalServerError, "\(error)")
            }
        }
    }

    private static func problem(_ refusal: LinkQueueDesk.Refusal) -> HTTPAnswer {
        switch refusal {
        case .badOrder(let sentence): .problem(.badRequest, sentence)
        case .noLink(let name): .problem(.notFound, "No link has the name \(name).")
        case .busy(let name):
            .problem(.conflict, "Another command is busy with the queue of link \(name); try again when it has ended.")
        case .draining: .problem(.serviceUnavailable, "The node is shutting down.")
        case .noRoom(let sentence): .problem(.insufficientStorage, sentence)
        case .file(let error): .problem(.conflict, error.description)
        }
    }
}

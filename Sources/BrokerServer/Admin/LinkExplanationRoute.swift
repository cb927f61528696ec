import BrokerCore
package import Foundation
import NIOCore
import NIOHTTP1

/// `POST /admin/v1/links/explain`: what would become of a topic, by the rules with which the node runs.
///
/// A question that changes nothing; it is in a body since topics may hold whatever a query may not.
package enum LinkExplanationRoute {
    package static let path = "/admin/v1/links/explain"

    package struct Question: Codable, Sendable {
        package var link: String
        package var topic: String
        package var clientID: String?

        package init(link: String, topic: String, clientID: String?) {
            self.link = link
            self.topic = topic
            self.clientID = clientID
        }

        private enum CodingKeys: String, CodingKey {
            case link, topic
            case clientID = "client_id"
        }

        package func encoded() throws -> Data { try JSONEncoder().encode(self) }
    }

    /// - Parameter links: asks the shard what runs.
    static func route(links: @escaping @Sendable () async -> [LinkSettings]) -> AdminRoute {
        AdminRoute(.POST, path, door: .socket) { request in
            let question: Question
            do {
                question = try JSONDecoder().decode(Question.self, from: Data(request.body.readableBytesView))
            } catch {
                return .problem(
                    .badRequest, #"The body is {"link": "name", "topic": "a/b"}, perhaps with "client_id"."#)
            }
            let links = await links()
            do {
                let explanation = try LinkExplanation(
                    links, link: question.link, topic: question.topic, clientID: question.clientID)
                return HTTPAnswer(
                    status: .ok,
                    headers: ["Content-Type": "application/json", "Cache-Control": "no-store"],
                    body: ByteBuffer(bytes: try explanation.encoded() + Data("\n".utf8))
                )
            } catch let error as LinkExplanation.Unaskable {
                return .problem(.badRequest, error.message)
            } catch {
                return .problem(.internalServerError, "\(error)")
            }
        }
    }
}

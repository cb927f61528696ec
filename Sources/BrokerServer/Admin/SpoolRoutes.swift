import BrokerCore
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Spool

/// What a node can be asked about its spool.
enum SpoolRoutes {
    static let path = "/admin/v1/spool"
    static let dropsPath = "/admin/v1/drops"
    static let copyPath = "/admin/v1/spool/backup"

    /// - Parameter account: asks the shard who is there and what it counted.
    static func all(
        _ spool: Spool,
        account: @escaping @Sendable () async -> ShardAccount,
        now: @escaping @Sendable () -> Timestamp
    ) -> [AdminRoute] {
        [
            AdminRoute(.GET, path, door: .any) { request in
                let (limit, problem) = limit(of: request)
                if let problem { return problem }
                let account = await account()
                return await blocking {
                    let survey = try spool.survey(limit: limit ?? .max)
                    let overview = SpoolOverview(survey, spool, account, limit: limit, now: now())
                    return json(try overview.encoded())
                }
            },
            AdminRoute(.GET, dropsPath, door: .any) { request in
                let (limit, problem) = limit(of: request)
                if let problem { return problem }
                let account = await account()
                return await blocking {
                    let survey = try spool.survey(limit: 0)
                    return json(try DropsOverview(survey, account, limit: limit).encoded())
                }
            },
            AdminRoute(.POST, copyPath, door: .socket) { request in
                guard let target = BackupRequest(request.body)?.target else {
                    return .problem(.badRequest, #"The body is {"target": "/absolute/path"}."#)
                }
                return await blocking {
                    let copy = try spool.copy(to: target)
                    return json(
                        try JSONEncoder().encode(
                            BackupAnswer(target: copy.path, bytes: copy.bytes, messages: copy.messages)
                        )
                    )
                }
            },
        ]
    }

    /// - Returns: nil and nil when none is given.
    private static func limit(of request: AdminRequest) -> (limit: Int?, problem: HTTPAnswer?) {
        guard let text = request.parameter("limit") else { return (nil, nil) }
        guard let number = Int(text), number >= 0 else {
            return (nil, .problem(.badRequest, "limit is a whole number, 0 or more."))
        }
        return (number, nil)
    }

    /// Reads of the disk belong on no event loop.
    private static func blocking(_ work: @escaping @Sendable () throws -> HTTPAnswer) async -> HTTPAnswer {
        do {
            return try await NIOThreadPool.singleton.runIfActive(work)
        } catch let error as SpoolToolError {
            switch error {
            case .targetExists, .copying: return .problem(.conflict, error.description)
            case .notAbsolute: return .problem(.badRequest, error.description)
            case .missing, .target, .spool: return .problem(.internalServerError, error.description)
            }
        } catch {
            return .problem(.internalServerError, "\(error)")
        }
    }

    private static func json(_ data: Data) -> HTTPAnswer {
        HTTPAnswer(
            status: .ok,
            headers: ["Content-Type": "application/json", "Cache-Control": "no-store"],
            body: ByteBuffer(bytes: data + Data("\n".utf8))
        )
    }
}

/// The body of `POST /admin/v1/spool/backup`.
package struct BackupRequest: Codable, Sendable {
    /// An absolute path, as the node sees it.
    package var target: String

    package init(target: String) { self.target = target }

    init?(_ body: ByteBuffer) {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(body.readableBytesView))
        } catch {
            return nil
        }
    }
}

/// Its answer.
package struct BackupAnswer: Codable, Sendable {
    package var target: String
    package var bytes: Int
    package var messages: Int
}

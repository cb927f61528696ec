import BrokerCore
import Foundation
package import MQTTCodec
package import NIOHTTP1

/// `Authorization: Basic` (RFC 7617): user name and password of one request, in UTF-8.
package enum BasicCredentials {
    /// What a request shows of itself.
    package enum Shown: Equatable {
        case nothing
        case login(username: MQTTString, password: [UInt8])
        /// An Authorization field that is no Basic one, or is broken, or stands twice.
        case unreadable
    }

    package static func of(_ headers: HTTPHeaders) -> Shown {
        let fields = headers["Authorization"]
        guard let field = fields.first else { return .nothing }
        guard fields.count == 1, let space = field.firstIndex(of: " "),
            field[..<space].lowercased() == "basic",
            let data = Data(base64Encoded: String(field[space...].drop { $0 == " " })),
            let colon = data.firstIndex(of: UInt8(ascii: ":")),
            let username = String(validating: data[..<colon], as: UTF8.self),
            !username.isEmpty, !username.utf8.contains(0)
        else {
            return .unreadable
        }
        return .login(username: MQTTString(username), password: Array(data[(colon + 1)...]))
    }
}

extension HTTPAnswer {
    /// What an HTTP client hears that was not let in.
    static func refusal(_ refusal: AuthenticationRefusal) -> HTTPAnswer {
        switch refusal {
        case .busy:
            var answer = HTTPAnswer.problem(.serviceUnavailable, "Too many logins at once. Try again.")
            answer.headers.add(name: "Retry-After", value: "1")
            return answer
        case .badCredentials: return unauthorized("User name and password do not fit.")
        case .notAuthorized: return unauthorized("Say who you are: user name and password, by Basic authentication.")
        }
    }

    private static func unauthorized(_ detail: String) -> HTTPAnswer {
        var answer = HTTPAnswer.problem(.unauthorized, detail)
        answer.headers.add(name: "WWW-Authenticate", value: "Basic realm=\"drawbridge\", charset=\"UTF-8\"")
        return answer
    }
}

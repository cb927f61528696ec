package import NIOCore
package import NIOHTTP1

/// One whole response. Length and connection fields are added where it is written.
package struct HTTPAnswer: Sendable, Equatable {
    package var status: HTTPResponseStatus
    package var headers: HTTPHeaders
    package var body: ByteBuffer

    package init(status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer()) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package static func json(_ json: JSONText, status: HTTPResponseStatus = .ok) -> HTTPAnswer {
        HTTPAnswer(
            status: status,
            headers: [
                "Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
            ],
            body: ByteBuffer(string: json.text + "\n")
        )
    }

    /// A refusal that programs can read (RFC 9457).
    package static func problem(_ status: HTTPResponseStatus, _ detail: String) -> HTTPAnswer {
        var json = JSONText()
        json.object { json in
            json.member("type", "about:blank")
            json.member("title", status.reasonPhrase)
            json.member("status", Int(status.code))
            json.member("detail", detail)
        }
        var answer = HTTPAnswer.json(json, status: status)
        answer.headers.replaceOrAdd(name: "Content-Type", value: "application/problem+json")
        return answer
    }

    /// A refusal of a WebSocket upgrade: a sentence for the person at the other end's debugger.
    package static func text(_ status: HTTPResponseStatus, _ sentence: String) -> HTTPAnswer {
        HTTPAnswer(
            status: status,
            headers: [
                "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            ],
            body: ByteBuffer(string: sentence + "\n")
        )
    }

    package static func methodNotAllowed(allow: String) -> HTTPAnswer {
        var answer = HTTPAnswer.problem(.methodNotAllowed, "This path answers to \(allow) only.")
        answer.headers.replaceOrAdd(name: "Allow", value: allow)
        return answer
    }
}

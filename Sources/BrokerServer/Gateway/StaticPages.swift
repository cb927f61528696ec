import NIOCore
package import NIOHTTP1
import WebPages

/// A file of the chat page, compiled in. There is no way from a URL to the file system.
package struct StaticPage: Sendable, Equatable {
    /// The path of the URL, compared byte by byte: "/", "/mqtt.js".
    package var path: String
    package var contentType: String
    package var body: [UInt8]
    /// A strong entity tag with its quotes, for example `"3f2a"`.
    package var etag: String

    package init(path: String, contentType: String, body: [UInt8], etag: String) {
        self.path = path
        self.contentType = contentType
        self.body = body
        self.etag = etag
    }
}

/// The pages of one listener, ready to be sent.
package struct StaticPages: Sendable {
    private let answers: [String: HTTPAnswer]

    package init(_ pages: [StaticPage]) {
        var answers: [String: HTTPAnswer] = [:]
        for page in pages {
            answers[page.path] = HTTPAnswer(
                status: .ok,
                headers: [
                    "Content-Type": page.contentType,
                    "ETag": page.etag,
                    "Cache-Control": "no-cache",
                    "Content-Security-Policy": WebPages.contentSecurityPolicy,
                    "X-Content-Type-Options": "nosniff",
                    "Referrer-Policy": "no-referrer",
                ],
                body: ByteBuffer(bytes: page.body)
            )
        }
        self.answers = answers
    }

    /// What to answer for a path; nil when it is no page.
    package func answer(path: String, head: HTTPRequestHead) -> HTTPAnswer? {
        guard var answer = answers[path] else { return nil }
        guard head.method == .GET || head.method == .HEAD else { return .methodNotAllowed(allow: "GET, HEAD") }
        if let etag = answer.headers.first(name: "ETag"), Self.isMatched(etag, head.headers) {
            answer.status = .notModified
            answer.headers.remove(name: "Content-Type")
            answer.body = ByteBuffer()
        }
        return answer
    }

    /// If-None-Match compares weakly (RFC 9110 §13.1.2).
    private static func isMatched(_ etag: String, _ headers: HTTPHeaders) -> Bool {
        headers[canonicalForm: "If-None-Match"].contains { candidate in
            candidate == "*" || candidate == etag || candidate == "W/" + etag
        }
    }
}

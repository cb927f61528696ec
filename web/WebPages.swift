/// The pages that the HTTP listener hands out: the chat page, what it needs, and `mqtt.js` for pages of others.
///
/// They are embedded in the executable, so that a lone binary serves them and no file can be missing or changed
/// beside it. `web/` holds them as plain files; the compiler reads them, nothing generates them.
package enum WebPages {
    /// One file as it is served.
    package struct Page: Sendable {
        /// Path of the request, beginning with a slash; compare it exactly.
        package let path: String
        /// Value of `Content-Type`.
        package let contentType: String
        /// Body, UTF-8.
        package let body: [UInt8]
        /// Value of `ETag`, quotes included; it changes whenever the body does.
        package let etag: String

        init(path: String, contentType: String, body: [UInt8]) {
            self.path = path
            self.contentType = contentType
            self.body = body
            self.etag = WebPages.etag(of: body)
        }
    }

    /// Value of `Content-Security-Policy` for all pages: nothing from elsewhere and nothing inline, so that a message
    /// which managed to become markup would still be inert. WebSockets to the same host need `ws:` and `wss:` in
    /// browsers that do not count them as 'self'.
    package static let contentSecurityPolicy =
        "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'"

    /// Every page. Computed once, at the first use.
    package static let all: [Page] = [
        Page(path: "/", contentType: "text/html; charset=utf-8", body: PackageResources.index_html),
        Page(path: "/chat.js", contentType: "text/javascript; charset=utf-8", body: PackageResources.chat_js),
        Page(path: "/chat.css", contentType: "text/css; charset=utf-8", body: PackageResources.chat_css),
        Page(path: "/mqtt.js", contentType: "text/javascript; charset=utf-8", body: PackageResources.mqtt_js),
        Page(path: "/favicon.svg", contentType: "image/svg+xml", body: PackageResources.favicon_svg),
    ]

    /// FNV-1a with 64 bits. A tag has to differ when the file differs; it protects nothing, so no cryptography.
    private static func etag(of body: [UInt8]) -> String {
        let hash = body.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x0100_0000_01b3 }
        return "\"" + String(hash, radix: 16) + "\""
    }
}

import Foundation
package import NIOCore

/// CONNECT to an HTTP proxy (RFC 9110 §9.3.6): the request, and the judgement of the answer.
package struct ProxyOpening: LinkOpening {
    let proxy: LinkProxy
    private let address: LinkAddress

    package init(_ proxy: LinkProxy, to address: LinkAddress) {
        self.proxy = proxy
        self.address = address
    }

    /// The request's bytes. Names are the proxy's to resolve: it may know more of them than we do.
    package var request: String {
        var lines = ["CONNECT \(address.authority) HTTP/1.1", "Host: \(address.authority)"]
        if let login = proxy.login {
            lines.append("Proxy-Authorization: Basic \(Data(login.bytes).base64EncodedString())")
        }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    package var lateText: String { "no answer of the proxy \(proxy) in time" }
    package var closedText: String { "the proxy \(proxy) closed the connection" }
    package func text(of error: any Error) -> String { "the proxy \(proxy): \(error)" }

    package func isAccepted(by received: inout ByteBuffer) throws(OpeningRefusal) -> Bool {
        let endless = "the answer of the proxy \(proxy) does not end"
        guard let head = try AnswerHead.take(from: &received, endless: endless) else { return false }
        let status = head.prefix { $0 != "\r\n" && $0 != "\n" }
        let words = status.split(separator: " ", maxSplits: 1)
        guard words.count == 2, words[0] == "HTTP/1.1" || words[0] == "HTTP/1.0" else {
            throw OpeningRefusal(reason: "the proxy \(proxy) does not speak HTTP")
        }
        // Any 2xx says that the way is open; none of them has a body here.
        if words[1].hasPrefix("2") { return true }
        if words[1].hasPrefix("407") {
            let hint = proxy.login == nil ? "wants a user and a password" : "does not accept our user and password"
            throw OpeningRefusal(reason: "the proxy \(proxy) \(hint)")
        }
        throw OpeningRefusal(reason: "the proxy \(proxy) answers \(words[1].prefix(60))")
    }
}

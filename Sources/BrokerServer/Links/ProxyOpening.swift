import Foundation
package import NIOCore

/// CONNECT to an HTTP proxy (RFC 9110 §9.3.6): the request, and the judgement of the answer.
package struct ProxyOpening: Sendable {
    /// Why the proxy opens no way, for the operator.
    package struct Refusal: Error, Sendable, Equatable {
        package let reason: String

        package init(reason: String) { self.reason = reason }
    }

    /// Of the answer's head; no proxy says more.
    private static let headBytesMax = 16 << 10

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

    /// Looks at what was received so far.
    ///
    /// - Parameter received: the head of the answer is taken off when it is there; what follows is the upstream's.
    /// - Returns: false while the head is not complete.
    /// - Throws: when the answer opens no way.
    package func isAccepted(by received: inout ByteBuffer) throws(Refusal) -> Bool {
        let end = Array("\r\n\r\n".utf8)
        guard let range = received.readableBytesView.firstRange(of: end) else {
            if received.readableBytes > Self.headBytesMax {
                throw Refusal(reason: "the answer of the proxy \(proxy) does not end")
            }
            return false
        }
        let count = range.upperBound - received.readerIndex
        guard let head = received.readString(length: count) else { return false }
        let status = head.prefix { $0 != "\r\n" && $0 != "\n" }
        let words = status.split(separator: " ", maxSplits: 1)
        guard words.count == 2, words[0] == "HTTP/1.1" || words[0] == "HTTP/1.0" else {
            throw Refusal(reason: "the proxy \(proxy) does not speak HTTP")
        }
        // Any 2xx says that the way is open; none of them has a body here.
        if words[1].hasPrefix("2") { return true }
        if words[1].hasPrefix("407") {
            let hint = proxy.login == nil ? "wants a user and a password" : "does not accept our user and password"
            throw Refusal(reason: "the proxy \(proxy) \(hint)")
        }
        throw Refusal(reason: "the proxy \(proxy) answers \(words[1].prefix(60))")
    }
}

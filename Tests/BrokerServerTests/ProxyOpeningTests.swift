import BrokerServer
import NIOCore
import Testing

/// Asking an HTTP proxy for the way to an upstream.
@Suite("The way through an HTTP proxy")
struct ProxyOpeningTests {
    private func opening(_ proxy: String = "http://proxy:3128") throws -> ProxyOpening {
        ProxyOpening(try LinkProxy(proxy), to: LinkAddress(.mqtts, host: "hub.example.com"))
    }

    @Test("CONNECT names the upstream, and who asks when that is known")
    func request() throws {
        #expect(
            try opening().request
                == "CONNECT hub.example.com:8883 HTTP/1.1\r\nHost: hub.example.com:8883\r\n\r\n")
        #expect(
            try opening("http://edge:s3cret@proxy:3128").request.contains(
                "\r\nProxy-Authorization: Basic ZWRnZTpzM2NyZXQ=\r\n"))
    }

    @Test("any 2xx opens the way, however it is cut, and what follows is left for the upstream")
    func accepted() throws {
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n"] {
            let opening = try opening()
            var received = ByteBuffer()
            for byte in head.utf8.dropLast() {
                received.writeInteger(byte)
                #expect(try !opening.isAccepted(by: &received))
            }
            received.writeString("\nrest")
            #expect(try opening.isAccepted(by: &received))
            #expect(String(buffer: received) == "rest")
        }
    }

    @Test(
        "anything else is said to the operator, without the password",
        arguments: [
            (
                "HTTP/1.1 407 Proxy Authentication Required",
                "the proxy http://proxy:3128 does not accept our user and password"
            ),
            ("HTTP/1.1 403 Forbidden", "the proxy http://proxy:3128 answers 403 Forbidden"),
            ("SSH-2.0-OpenSSH_9.2", "the proxy http://proxy:3128 does not speak HTTP"),
        ])
    func refused(status: String, reason: String) throws {
        let opening = try opening("http://u:s3cret@proxy:3128")
        var received = ByteBuffer(string: "\(status)\r\n\r\n")
        #expect(throws: OpeningRefusal(reason: reason)) { try opening.isAccepted(by: &received) }
    }

    @Test("an answer that does not end is refused")
    func endless() throws {
        let opening = try opening()
        var received = ByteBuffer(string: "HTTP/1.1 200 OK\r\n" + String(repeating: "x", count: 20_000))
        #expect(throws: OpeningRefusal.self) { try opening.isAccepted(by: &received) }
    }
}

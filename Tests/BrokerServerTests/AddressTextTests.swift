import BrokerCore
import BrokerServer
import NIOCore
import TestSupport
import Testing

@Suite("Addresses in words")
struct AddressTextTests {
    @Test(
        "one client has one address, whichever listener it came through",
        arguments: [
            ("127.0.0.1", "127.0.0.1:1883", "127.0.0.1"), ("::ffff:127.0.0.1", "127.0.0.1:1883", "127.0.0.1"),
            ("::1", "[::1]:1883", "::1"), ("10.200.0.99", "10.200.0.99:1883", "10.200.0.99"),
            ("255.255.255.255", "255.255.255.255:1883", "255.255.255.255"), ("0.0.0.0", "0.0.0.0:1883", "0.0.0.0"),
            ("2001:db8::a:1", "[2001:db8::a:1]:1883", "2001:db8::a:1"),
        ])
    func text(address: String, text: String, bare: NetworkAddress) throws {
        let socket = try SocketAddress(ipAddress: address, port: 1883)
        #expect(socket.text == text)
        #expect(socket.networkAddress == bare)
    }

    @Test("the peer of a Unix socket is local")
    func local() throws {
        let socket = try SocketAddress(unixDomainSocketPath: "/tmp/x")
        #expect(socket.text == "local")
        #expect(socket.networkAddress == nil)
    }
}

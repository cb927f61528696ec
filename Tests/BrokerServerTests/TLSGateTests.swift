import BrokerServer
import Certificates
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import NIOSSL
import Testing

/// A web port behind TLS with an echo behind its upgrade: what differs from the port without TLS.
@Suite("A door with TLS")
struct TLSGateTests {
    private static let logger = Logger(label: "test")

    private static func door(_ folder: String, _ change: (inout ListenerTLSConfiguration) -> Void = { _ in }) throws
        -> TLSDoor
    {
        var tls = ListenerTLSConfiguration(certificatePath: folder + "/server.crt", keyPath: folder + "/server.key")
        change(&tls)
        return try TLSDoor(tls, of: "test", applicationProtocols: ["http/1.1"], timeout: .seconds(10), logger: logger)
    }

    /// A connection without socket, whose clock is moved by hand.
    private static func embedded(_ door: TLSDoor, _ arrivals: Arrivals) throws -> EmbeddedChannel {
        let channel = EmbeddedChannel()
        try TLSDoor.enter(channel, Arrival(at: channel.embeddedEventLoop.now), door) { _, arrival in
            arrivals.all.append(arrival)
        }
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    private final class Arrivals {
        var all: [Arrival] = []
    }

    /// The other end, with its own clock.
    private static func client(
        _ certificates: TestCertificates,
        showing isShowing: Bool = false
    ) throws -> EmbeddedChannel {
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(try certificates.authority.pair.certificatePEM().utf8)))
        if isShowing {
            settings.certificateChain = try NIOSSLCertificate.fromPEMBytes(
                Array(try certificates.client.certificatePEM().utf8)
            ).map { .certificate($0) }
            settings.privateKey = .privateKey(
                try NIOSSLPrivateKey(bytes: Array(certificates.client.keyPEM.utf8), format: .pem))
        }
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(
            try NIOSSLClientHandler(context: NIOSSLContext(configuration: settings), serverHostname: "localhost"))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    /// Carries bytes between the two until neither has any.
    private static func talk(_ one: EmbeddedChannel, _ other: EmbeddedChannel) throws {
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for (from, to) in [(one, other), (other, one)] {
                while let bytes = try from.readOutbound(as: ByteBuffer.self) {
                    isQuiet = false
                    if to.isActive { try to.writeInbound(bytes) }
                }
            }
        }
    }

    @Test("after the handshake the protocol begins, with the time of the accept and the client's name")
    func name() throws {
        let certificates = try TestCertificates(client: "press-4")
        let folder = try certificates.write()
        let arrivals = Arrivals()
        let door = try Self.door(folder) {
            $0.clientAuthorityPath = folder + "/ca.crt"
            $0.clientCertificate = .required
            $0.username = .commonName
        }
        let server = try Self.embedded(door, arrivals)
        let accepted = server.embeddedEventLoop.now
        server.embeddedEventLoop.advanceTime(by: .seconds(4))
        try Self.talk(server, try Self.client(certificates, showing: true))
        #expect(arrivals.all.map(\.certificateName) == ["press-4"])
        #expect(arrivals.all.map(\.at) == [accepted])
        #expect(arrivals.all.first?.age(now: server.embeddedEventLoop.now) == .seconds(4))
        // The deadline of the handshake has gone with it.
        server.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(server.isActive)
    }

    @Test("a certificate that is optional and not shown gives no name")
    func optional() throws {
        let certificates = try TestCertificates()
        let folder = try certificates.write()
        let arrivals = Arrivals()
        let door = try Self.door(folder) {
            $0.clientAuthorityPath = folder + "/ca.crt"
            $0.clientCertificate = .optional
            $0.username = .commonName
        }
        try Self.talk(try Self.embedded(door, arrivals), try Self.client(certificates))
        #expect(arrivals.all.map(\.certificateName) == [nil])
    }

    @Test("a client without certificate, of another authority, expired, or without the wanted name stays outside")
    func refused() throws {
        let certificates = try TestCertificates()
        let stranger = try TestCertificates()
        let expired = try certificates.authority.client(
            name: "phone@example.com", days: 1, now: TestCertificates.now - 30 * 86_400)
        let folder = try certificates.write()
        for (showing, kind) in [(false, nil), (true, "stranger"), (true, "expired"), (true, "no e-mail")]
            as [(Bool, String?)]
        {
            let arrivals = Arrivals()
            let door = try Self.door(folder) {
                $0.clientAuthorityPath = folder + "/ca.crt"
                $0.clientCertificate = .required
                $0.username = .email
            }
            let server = try Self.embedded(door, arrivals)
            let shown = TestCertificates(
                authority: certificates.authority,
                server: certificates.server,
                client: kind == "stranger" ? stranger.client : kind == "expired" ? expired : certificates.client
            )
            // What the client thinks of it is its own business.
            do { try Self.talk(server, try Self.client(shown, showing: showing)) } catch is NIOSSLError {
            } catch is BoringSSLError {}
            #expect(arrivals.all.isEmpty, "\(kind ?? "none")")
            server.embeddedEventLoop.advanceTime(by: .seconds(2))
            #expect(!server.isActive, "\(kind ?? "none")")
        }
    }

    @Test("a handshake that does not begin, or drips, is closed when its time is over", arguments: [false, true])
    func slow(isDripping: Bool) throws {
        let certificates = try TestCertificates()
        let arrivals = Arrivals()
        let server = try Self.embedded(try Self.door(try certificates.write()), arrivals)
        let client = try Self.client(certificates)
        var hello = try client.readOutbound(as: ByteBuffer.self) ?? ByteBuffer()
        for _ in 0..<9 {
            server.embeddedEventLoop.advanceTime(by: .seconds(1))
            if isDripping, let byte = hello.readSlice(length: 1) { try server.writeInbound(byte) }
            #expect(server.isActive)
        }
        // One more second, and another for the goodbye that nobody answers.
        server.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(!server.isActive)
        #expect(arrivals.all.isEmpty)
    }

    @Test("plain bytes are no handshake")
    func plain() throws {
        let arrivals = Arrivals()
        let server = try Self.embedded(try Self.door(try TestCertificates().write()), arrivals)
        do { try server.writeInbound(ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n")) } catch is NIOSSLError {
        } catch is BoringSSLError {}
        server.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(!server.isActive)
        #expect(arrivals.all.isEmpty)
    }
}

import Certificates
package import Logging
package import NIOCore
import NIOSSL

/// What a listener with `[listener.tls]` puts before its own handlers.
package struct TLSDoor: Sendable {
    package let watched: WatchedTLS
    /// For connections of this listener, those in their handshake included.
    let connectionsMax: Int
    private let username: CertificateName?
    private let timeout: TimeAmount
    private let logger: Logger

    /// Loads the files.
    ///
    /// - Parameters:
    ///   - owner: "listener mqtts", for the log.
    ///   - applicationProtocols: "mqtt", "http/1.1" or both, for ALPN.
    ///   - timeout: from accept to CONNECT.
    /// - Throws: what keeps the files from being used.
    package init(
        _ tls: ListenerTLSConfiguration,
        of owner: String,
        applicationProtocols: [String],
        timeout: TimeAmount,
        connectionsMax: Int = .max,
        logger: Logger
    ) throws(TLSProblem) {
        watched = try WatchedTLS(owner: owner, paths: tls.paths, isWatched: tls.isWatched) { () throws(TLSProblem) in
            try tls.load(.disk, applicationProtocols: applicationProtocols)
        }
        self.connectionsMax = connectionsMax
        self.username = tls.username
        self.timeout = timeout
        self.logger = logger
    }

    /// Opens a connection that was just accepted: at once in the clear, after the handshake with TLS.
    ///
    /// - Parameters:
    ///   - arrival: what is known of it by now.
    ///   - open: adds the handlers of the protocol.
    package static func enter(
        _ channel: any Channel,
        _ arrival: Arrival,
        _ door: TLSDoor?,
        _ open: @escaping (any Channel, Arrival) throws -> Void
    ) throws {
        guard let door else { return try open(channel, arrival) }
        var arrival = arrival
        arrival.isEncrypted = true
        try channel.pipeline.syncOperations.addHandlers([
            NIOSSLServerHandler(context: door.watched.context),
            TLSGate(
                arrival: arrival,
                timeout: door.timeout,
                username: door.username,
                logger: door.logger,
                open: open
            ),
        ])
    }
}

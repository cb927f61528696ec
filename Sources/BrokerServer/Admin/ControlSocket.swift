import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix

/// The Unix socket in the data directory through which a running node is asked and steered. Its permissions (0600) say
/// who may: the user of the node and root.
final class ControlSocket: Sendable {
    /// Why it could not be made: the call of the system and what it said.
    struct Failure: Error, CustomStringConvertible {
        let call: String
        let reason: String
        var description: String { "\(call): \(reason)" }
    }

    private let channel: any Channel
    private let path: String

    private static let connectionsMax = 16
    private static let headerBytesMax = 16 << 10

    private init(channel: any Channel, path: String) {
        self.channel = channel
        self.path = path
    }

    /// Listens. Called by who holds the lock of the spool, so a socket that is there is nobody's: it is replaced.
    static func open(
        in directory: String,
        group: any EventLoopGroup,
        routes: AdminRoutes
    ) async throws -> ControlSocket {
        let descriptor = try bind(in: directory)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 16)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptedConnections(connectionsMax: connectionsMax)
                    )
                }
            }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    var limits = NIOHTTPDecoderLimitConfiguration()
                    limits.maxHeaderFieldSize = headerBytesMax
                    limits.maxHeaderListSize = headerBytesMax
                    try channel.pipeline.syncOperations.addHandlers([
                        HTTPResponseEncoder(),
                        ByteToMessageHandler(HTTPRequestDecoder(limitConfiguration: limits)),
                        AdminHandler(routes: routes, door: .socket),
                    ])
                }
            }
            .withBoundSocket(descriptor)
            .get()
        return ControlSocket(channel: channel, path: directory + "/" + ControlAddress.name)
    }

    /// Binds under another name and renames: whoever calls meets the old socket or the new one, never one that others
    /// may use. The mode is set before the socket has a name.
    private static func bind(in directory: String) throws -> NIOBSDSocket.Handle {
        let descriptor = socket(
            AF_UNIX,
            Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
            0
        )
        guard descriptor >= 0 else { throw failure("socket") }
        do {
            guard fchmod(descriptor, 0o600) == 0 else { throw failure("fchmod") }
            let fresh = ControlAddress.name + ".new"
            unlink(directory + "/" + fresh)
            guard ControlAddress.with(fresh, in: directory, { Foundation.bind(descriptor, $0, $1) }) == 0 else {
                throw failure("bind")
            }
            guard chmod(directory + "/" + fresh, 0o600) == 0 else { throw failure("chmod") }
            guard rename(directory + "/" + fresh, directory + "/" + ControlAddress.name) == 0 else {
                throw failure("rename")
            }
            return descriptor
        } catch {
            Foundation.close(descriptor)
            throw error
        }
    }

    private static func failure(_ call: String) -> Failure {
        Failure(call: call, reason: String(cString: strerror(errno)))
    }

    /// Takes the socket away. Called before the lock of the spool is let go, so it is our own that goes.
    func close() async {
        unlink(path)
        channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        await withCheckedContinuation { continuation in
            channel.close().whenComplete { _ in continuation.resume() }
        }
    }
}

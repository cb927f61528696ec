import Logging
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// How a connection becomes a WebSocket, and this handler leaves it.
extension WebConnectionHandler {
    /// Writes the headers of the 101 answer; all that we use of it.
    private static let upgrader = NIOTypedWebSocketServerUpgrader<Void>(
        shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
        upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
    )

    func upgrade(_ head: HTTPRequestHead, _ subprotocol: String?, _ context: ChannelHandlerContext) {
        state = .upgrading
        // The answer may stand behind others that the client does not take.
        expect(within: limits.firstRequestTimeout, context)
        let pipeline = context.pipeline.syncOperations
        let channel = context.channel
        var arrival = origin(of: head, channel)
        arrival.deflate = limits.deflates ? DeflateAgreement(head.headers["Sec-WebSocket-Extensions"]) : nil
        Self.upgrader.buildUpgradeResponse(channel: channel, upgradeRequest: head, initialResponseHeaders: [:])
            .and(pipeline.removeHandler(decoder))
            .assumeIsolated()
            .flatMap { [arrival] headers, _ in
                self.isDecoderGone = true
                var response = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
                if let deflate = arrival.deflate {
                    response.headers.add(name: "Sec-WebSocket-Extensions", value: deflate.field)
                }
                if let subprotocol {
                    response.headers.add(name: "Sec-WebSocket-Protocol", value: subprotocol)
                }
                return context.writeAndFlush(Self.wrapOutboundOut(.head(response)))
            }
            .flatMap { pipeline.removeHandler(self.encoder) }
            .flatMapThrowing {
                // HTTP clients may close their sending side and wait for the answer; in MQTT that means goodbye.
                try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
            }
            .flatMap { [arrival] in self.openConnection(channel, arrival) }
            .whenComplete { result in
                switch result {
                case .success: self.handOver(context)
                case .failure(let error):
                    self.logger.debug("WebSocket not opened", metadata: ["error": "\(error)"])
                    context.close(promise: nil)
                }
            }
    }

    /// Gives the handler after us what arrived for it meanwhile, and leaves.
    private func handOver(_ context: ChannelHandlerContext) {
        guard case .upgrading = state else { return }
        let bytes = heldBytes
        heldBytes = []
        for data in bytes {
            context.fireChannelRead(data)
        }
        if !bytes.isEmpty {
            context.fireChannelReadComplete()
        }
        if isQuiescing {
            context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
        if isInputClosedHeld {
            context.close(promise: nil)
        }
        let mustRead = isReadWithheld
        end()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        if mustRead {
            context.channel.read()
        }
    }
}

import BrokerCore
package import Logging
package import NIOCore
import NIOHTTP1

/// One web port: HTTP publish, health, pages, and the door through which MQTT over WebSocket comes in.
package enum WebListener {
    /// Puts the HTTP handlers into the pipeline of a connection; on its event loop.
    package static func configure(
        _ channel: any Channel,
        arrival: Arrival,
        options: WebListenerOptions,
        router: HTTPGateway,
        gateway: Gateway,
        logger: Logger,
        openConnection: @escaping @Sendable (any Channel, Arrival) -> EventLoopFuture<Void>
    ) throws {
        var headLimits = NIOHTTPDecoderLimitConfiguration()
        headLimits.maxHeaderFieldSize = options.headerBytesMax
        headLimits.maxHeaderListSize = options.headerBytesMax
        headLimits.maxHeaderFieldCount = options.headerFieldsMax
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .fireError, limitConfiguration: headLimits)
        )
        let encoder = HTTPResponseEncoder()
        let handler = WebConnectionHandler(
            gateway: router,
            broker: gateway,
            limits: WebConnectionHandler.Limits(
                bodyBytesMax: options.bodyBytesMax,
                firstRequestTimeout: options.firstRequestTimeout,
                bodyTimeout: options.bodyTimeout,
                answerTimeout: options.answerTimeout,
                idleTimeout: options.idleTimeout,
                rate: options.rate,
                deflates: options.deflates
            ),
            proxies: options.trustedProxies,
            allowed: options.allowed,
            door: options.door,
            decoder: decoder,
            encoder: encoder,
            arrival: arrival,
            logger: logger,
            openConnection: openConnection
        )
        // A client that has sent its request may end its side and wait for the answer.
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.pipeline.syncOperations.addHandlers([encoder, decoder, handler])
    }

    /// Compiles the options into the router of the listener.
    package static func router(
        options: WebListenerOptions,
        scheme: WebOrigin.Scheme = .http,
        pages: [StaticPage],
        systemName: String?
    ) -> HTTPGateway {
        HTTPGateway(
            origins: OriginRule(
                listenerHost: options.host,
                scheme: scheme,
                patterns: options.origins,
                allowsMissingOrigin: options.allowMissingOrigin,
                systemName: systemName
            ),
            handshake: WebSocketHandshake(
                paths: options.webSocketPaths,
                subprotocols: options.subprotocols,
                requiresSubprotocol: options.requireSubprotocol
            ),
            pages: options.servesPages ? StaticPages(pages) : nil,
            bodyBytesMax: options.bodyBytesMax
        )
    }
}

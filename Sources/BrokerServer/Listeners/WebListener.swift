import BrokerCore
package import Logging
package import NIOCore
import NIOHTTP1

/// One web port: HTTP publish, health, pages, and the door through which MQTT over WebSocket comes in.
package enum WebListener {
    /// Binds and accepts.
    ///
    /// - Parameters:
    ///   - gateway: asked for every HTTP publish and health question.
    ///   - pages: served when `options.servesPages`.
    ///   - tls: nil for HTTP in the clear.
    ///   - openConnection: called on the connection's event loop once the 101 answer is written and the HTTP handlers
    ///     are gone. It adds the handler that speaks WebSocket frames and MQTT at the end of the pipeline; bytes that
    ///     came behind the upgrade request are delivered to it when its future succeeds. From then on the end of the
    ///     peer's input closes the channel.
    /// - Returns: the listening channel. Closing it stops accepting; `ChannelShouldQuiesceEvent` in its pipeline also
    ///   reaches the connections.
    package static func bind(
        options: WebListenerOptions,
        group: any EventLoopGroup,
        gateway: Gateway,
        pages: [StaticPage],
        tls: TLSDoor? = nil,
        logger: Logger,
        openConnection: @escaping @Sendable (any Channel, Arrival) -> EventLoopFuture<Void>
    ) -> EventLoopFuture<any Channel> {
        let router = self.router(
            options: options,
            scheme: tls == nil ? .http : .https,
            pages: pages,
            systemName: HostName.current()
        )
        return ListenerSocket.bind(
            BindAddress(host: options.host, port: options.port),
            group: group,
            entrance: entrance(options, tls: tls, logger: logger),
            hasStages: true
        ) { channel, arrival in
            try configure(
                channel,
                arrival: arrival,
                options: options,
                router: router,
                gateway: gateway,
                logger: logger,
                openConnection: openConnection
            )
        }
    }

    private static func entrance(_ options: WebListenerOptions, tls: TLSDoor?, logger: Logger) -> Entrance {
        var entrance = Entrance(timeout: options.firstRequestTimeout, logger: logger)
        entrance.connectionsMax = options.connectionsMax
        entrance.tls = tls
        return entrance
    }

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
                idleTimeout: options.idleTimeout,
                rate: options.rate,
                deflates: options.deflates
            ),
            proxies: options.trustedProxies,
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

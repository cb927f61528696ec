import BrokerCore
import Foundation
import Logging
import NIOCore
import NIOPosix
import WebPages

/// Opens the listeners of a node: what all of them share, and which handlers each kind puts behind its entrance.
struct NodeDoors: Sendable {
    private(set) var configuration: Configuration
    let group: MultiThreadedEventLoopGroup
    let loops: LoopRunners
    let gateway: Gateway
    private(set) var tls: [String: TLSDoor]
    let census: ConnectionCensus
    private let listenerCensuses = ListenerCensuses()
    let logger: Logger

    /// Adds the handlers of a protocol to a connection that is ready for them; on its event loop.
    typealias Opening = @Sendable (any Channel, Arrival) throws -> Void

    /// The same doors for another configuration.
    func with(_ configuration: Configuration, _ tls: NodeTLS) -> NodeDoors {
        var doors = self
        doors.configuration = configuration
        doors.tls = tls.doors
        return doors
    }

    /// - Throws: a `StartError`.
    func open(_ listener: ListenerConfiguration, _ address: BindAddress) async throws -> any Channel {
        do {
            let entrance = entrance(of: listener)
            return try await ListenerSocket.bind(
                address,
                group: group,
                entrance: entrance,
                hasStages: listener.kind != .mqtt,
                open: opening(of: listener, at: address, entrance)
            ).get()
        } catch {
            throw StartError.cannotListen(
                name: listener.name,
                address: address.description,
                reason: (error as? IOError)?.errnoCode == EADDRINUSE ? "the port is in use" : "\(error)"
            )
        }
    }

    private func entrance(of listener: ListenerConfiguration) -> Entrance {
        let limits = listener.limits(within: configuration.limits)
        var entrance = Entrance(timeout: TimeAmount(limits.connectTimeout), census: census, logger: logger)
        // Those of the node are counted by the census.
        entrance.ownCensus = listenerCensuses.census(of: listener)
        entrance.connectsPerSecond = listener.rate.connectsPerSecond
        entrance.perAddressMax = listener.limits.connectionsPerAddressMax
        entrance.allowed = listener.allowed
        entrance.proxyProtocol = listener.proxyProtocol
        entrance.proxies = listener.trustedProxies
        if case .mux = listener.kind {} else { entrance.tls = tls[listener.name] }
        return entrance
    }

    /// What speaks behind the entrance.
    private func opening(
        of listener: ListenerConfiguration,
        at address: BindAddress,
        _ entrance: Entrance
    ) -> Opening {
        switch listener.kind {
        case .mqtt: mqtt(listener)
        case .web(let web): self.web(web, of: listener, at: address, isEncrypted: listener.tls != nil, entrance)
        case .mux(let mux): self.mux(mux, of: listener, at: address, entrance)
        }
    }

    private func mqtt(_ listener: ListenerConfiguration) -> Opening {
        let (loops, name) = (loops, listener.name)
        return { channel, arrival in
            try loops.runner(of: channel).admit(channel, speaksWebSocket: false, arrival: arrival, listener: name)
        }
    }

    private func web(
        _ web: WebConfiguration,
        of listener: ListenerConfiguration,
        at address: BindAddress,
        isEncrypted: Bool,
        _ entrance: Entrance
    ) -> Opening {
        var options = WebListenerOptions(host: address.host, port: address.port)
        options.webSocketPaths = web.paths
        options.subprotocols = web.subprotocols
        options.requireSubprotocol = web.requiresSubprotocol
        options.origins = web.origins
        options.allowMissingOrigin = web.allowsMissingOrigin
        options.trustedProxies = listener.trustedProxies
        options.allowed = entrance.allowed
        options.deflates = web.deflates
        options.servesPages = web.staticContent == .builtin
        options.bodyBytesMax = web.bodyBytesMax
        options.rate = listener.rate
        options.firstRequestTimeout = entrance.timeout
        let router = WebListener.router(
            options: options,
            scheme: isEncrypted ? .https : .http,
            pages: WebPages.all.map {
                StaticPage(path: $0.path, contentType: $0.contentType, body: $0.body, etag: $0.etag)
            },
            systemName: HostName.current()
        )
        let (loops, gateway, logger, name) = (loops, gateway, logger, listener.name)
        return { [options] channel, arrival in
            let before = arrival.client
            var options = options
            options.door = loops.door(name)
            try WebListener.configure(
                channel,
                arrival: arrival,
                options: options,
                router: router,
                gateway: gateway,
                logger: logger
            ) { channel, arrival in
                channel.eventLoop.makeCompletedFuture {
                    // Whom an HTTP proxy speaks for is known now, and is somebody else than whoever was counted.
                    if arrival.client != before { try entrance.check(arrival, on: channel) }
                    let runner = try loops.runner(of: channel)
                    try runner.admit(channel, speaksWebSocket: true, arrival: arrival, listener: name)
                }
            }
        }
    }

    // MARK: One port for all

    /// What a listener of type `mux` opens for those who speak in the clear, or inside of TLS.
    private struct Served: Sendable {
        var mqtt: Opening?
        var web: Opening?

        func opening(for first: FirstBytes) -> Opening? {
            switch first {
            case .mqtt: mqtt
            case .http: web
            case .tls, .unknown: nil
            }
        }
    }

    /// A listener that is served by another counts its connections too.
    private func counted(_ opening: @escaping Opening, for listener: ListenerConfiguration) -> Opening {
        guard let census = listenerCensuses.census(of: listener) else { return opening }
        return { channel, arrival in
            try census.enter(channel)
            try opening(channel, arrival)
        }
    }

    private func mux(
        _ mux: MuxConfiguration,
        of listener: ListenerConfiguration,
        at address: BindAddress,
        _ entrance: Entrance
    ) -> Opening {
        var plain = Served()
        var encrypted = Served()
        for name in mux.serves {
            guard var served = configuration.listeners.first(where: { $0.name == name }) else { continue }
            // Proxies stand before the port, and so does its own rate; the rest is that of whoever is served.
            served.trustedProxies = listener.trustedProxies
            let isOwnTLS = listener.tls != nil
            switch served.kind {
            case .mqtt:
                let opening = counted(mqtt(served), for: served)
                if served.tls == nil { plain.mqtt = opening }
                if served.tls != nil || isOwnTLS { encrypted.mqtt = opening }
            case .web(let web):
                if served.tls == nil {
                    let opening = self.web(web, of: served, at: address, isEncrypted: false, entrance)
                    plain.web = counted(opening, for: served)
                }
                if served.tls != nil || isOwnTLS {
                    let opening = self.web(web, of: served, at: address, isEncrypted: true, entrance)
                    encrypted.web = counted(opening, for: served)
                }
            case .mux: break
            }
        }
        let (timeout, logger, door) = (entrance.timeout, logger, tls[listener.name])
        return { [plain, encrypted] channel, arrival in
            try channel.pipeline.syncOperations.addHandler(
                FirstBytesGate(arrival: arrival, timeout: timeout, logger: logger) { bytes in
                    guard let first = FirstBytes.recognise(bytes) else { return .wait }
                    if let opening = plain.opening(for: first) { return .open { try opening($0, arrival) } }
                    guard first == .tls, let door else { return .refuse("neither of what this port serves: \(first)") }
                    return .open { channel in
                        try TLSDoor.enter(channel, arrival, door) { channel, arrival in
                            try channel.pipeline.syncOperations.addHandler(
                                FirstBytesGate(arrival: arrival, timeout: timeout, logger: logger) { bytes in
                                    guard let first = FirstBytes.recognise(bytes) else { return .wait }
                                    guard let opening = encrypted.opening(for: first) else {
                                        return .refuse("nothing that this port serves inside of TLS: \(first)")
                                    }
                                    return .open { try opening($0, arrival) }
                                }
                            )
                        }
                    }
                }
            )
        }
    }
}

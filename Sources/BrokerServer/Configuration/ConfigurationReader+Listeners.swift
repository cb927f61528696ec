import BrokerCore
import MQTTCodec

/// `[[listener]]`.
extension ConfigurationReader {
    private enum ListenerType: String, CaseIterable {
        case mqtt, web, mux
    }

    private enum Version: String, CaseIterable {
        case v3_1 = "3.1"
        case v3_1_1 = "3.1.1"
        case v5 = "5"
        case v5_0 = "5.0"

        var protocolVersion: ProtocolVersion {
            switch self {
            case .v3_1: .v3_1
            case .v3_1_1: .v3_1_1
            case .v5, .v5_0: .v5
            }
        }
    }

    mutating func readListeners(of roots: [SettingsTable]) {
        let tables = roots.flatMap { $0.tables("listener", known: .listener) }
        // Without any, the node has the doors of `Configuration.default`.
        guard !tables.isEmpty else { return }
        configuration.listeners = []
        for table in tables { readListener(table) }
        if place(of: "auth", "chain", in: roots) == nil,
            configuration.listeners.contains(where: { $0.tls?.username != nil })
        {
            // Whoever says what of a certificate is the user name wants certificates to count.
            configuration.authentication.chain.removeAll { $0 == .cert }
            configuration.authentication.chain.insert(.cert, at: 0)
        }
        checkListeners()
    }

    private mutating func readListener(_ table: SettingsTable) {
        var type = ListenerType.mqtt
        if table.has("type") {
            guard let said = table.choice("type", of: ListenerType.self, later: ["admin"]) else { return }
            type = said
        }
        let name = table.string("name") ?? freeName(startingWith: type.rawValue)
        if !Identifier.isValid(name) {
            table.report("name", "must be 1 to 64 letters, digits, `-`, `_` or `.`, found \"\(name)\"")
        }
        var listener = ListenerConfiguration(name: name, kind: .mqtt, addresses: [])
        let isEncrypted = table.has("tls")
        listener.tls = listenerTLS(of: table, named: name, isWeb: type == .web)
        readDoor(table, isMQTT: type == .mqtt, into: &listener)
        switch type {
        case .mqtt:
            listener.addresses = [
                isEncrypted ? ListenerConfiguration.defaultTLSAddress : ListenerConfiguration.defaultMQTTAddress
            ]
            reportStray(KnownKeys.webOnly, in: table, type: .web)
            reportStray(["serve"], in: table, type: .mux)
        case .web:
            listener.addresses = [
                isEncrypted ? ListenerConfiguration.defaultWebTLSAddress : ListenerConfiguration.defaultWebAddress
            ]
            listener.kind = .web(readWeb(table))
            reportStray(["serve"], in: table, type: .mux)
        case .mux:
            for key in KnownKeys.webOnly + ["versions"] where table.has(key) {
                table.report(key, "is for the listeners that this one serves")
            }
            if !table.has("bind") { table.report("bind", "is required for a listener of type \"mux\"") }
            let serves = table.strings("serve", mayBeEmpty: false) ?? []
            if !table.has("serve") {
                table.report("serve", "is required: the names of listeners to serve on this port")
            }
            listener.kind = .mux(MuxConfiguration(serves: serves.map(\.text)))
        }
        // One that a mux serves may have no address of its own; `checkListeners` sees to it.
        if let bind = table.strings("bind", mayBeEmpty: type != .mux) {
            let read = addresses(in: bind)
            // Of those that cannot be read something stands here, so that they are not reported as missing too.
            listener.addresses = read.isEmpty && !bind.isEmpty ? [BindAddress(host: "127.0.0.1", port: 0)] : read
        }
        configuration.listeners.append(listener)
        listenerPlaces.append(table.place)
    }

    private func addresses(in bind: [(text: String, place: Place)]) -> [BindAddress] {
        var addresses: [BindAddress] = []
        for (text, place) in bind {
            if text.hasPrefix("unix:") {
                let path = String(text.dropFirst("unix:".count))
                if path.hasPrefix("/"), path.utf8.count <= UnixSocketFile.pathBytesMax {
                    addresses.append(BindAddress(unixPath: path))
                } else {
                    reading.report(
                        "must be `unix:` and an absolute path of at most \(UnixSocketFile.pathBytesMax) bytes, found "
                            + "\"\(text)\"",
                        at: place
                    )
                }
                continue
            }
            do throws(HostAndPort.Failure) {
                let parsed = try HostAndPort.parse(text, ports: 0...65_535, defaultPort: nil)
                addresses.append(BindAddress(host: parsed.host, port: parsed.port))
            } catch {
                reading.report("must be \"host:port\": \(error.message); found \"\(text)\"", at: place)
            }
        }
        return addresses
    }

    private func readWeb(_ table: SettingsTable) -> WebConfiguration {
        var web = WebConfiguration()
        if let paths = table.strings("paths", mayBeEmpty: false) {
            web.paths = paths.map(\.text)
            for (path, place) in paths where !URLPath.isValid(path, mayHaveQuery: false) {
                reading.report(
                    "must be a path that begins with `/`, without `?`, `#` or spaces, found \"\(path)\"", at: place)
            }
        }
        if let subprotocols = table.strings("subprotocols", mayBeEmpty: false) {
            web.subprotocols = subprotocols.map(\.text)
            for (name, place) in subprotocols where name.isEmpty || !name.utf8.allSatisfy(Identifier.mayContain) {
                reading.report("must be letters, digits, `-`, `_` or `.`, found \"\(name)\"", at: place)
            }
        }
        if let origins = table.strings("origins", mayBeEmpty: true) {
            web.origins = origins.compactMap { (text, place) in
                do throws(WebOrigin.Invalid) {
                    return try WebOriginPattern(text)
                } catch {
                    reading.report("\(error.message), found \"\(text)\"", at: place)
                    return nil
                }
            }
        }
        web.requiresSubprotocol = table.boolean("require_subprotocol") ?? web.requiresSubprotocol
        web.allowsMissingOrigin = table.boolean("allow_missing_origin") ?? web.allowsMissingOrigin
        if let deflate = table.table("deflate", known: .deflate) {
            web.deflates = deflate.boolean("enabled") ?? web.deflates
            web.inflatedBytesMax = deflate.size("max_inflated", in: 1_024...(256 << 20)) ?? web.inflatedBytesMax
        }
        web.staticContent = table.choice("static", of: WebConfiguration.StaticContent.self) ?? web.staticContent
        web.bodyBytesMax = table.size("max_body", in: 1...(256 << 20)) ?? web.bodyBytesMax
        return web
    }

    private func reportStray(_ keys: [String], in table: SettingsTable, type: ListenerType) {
        for key in keys where table.has(key) {
            table.report(key, "is only for listeners of type \"\(type.rawValue)\"")
        }
    }

    /// What every kind of listener may have.
    private func readDoor(_ table: SettingsTable, isMQTT: Bool, into listener: inout ListenerConfiguration) {
        listener.limits = listenerLimits(of: table)
        if let versions = table.choices("versions", of: Version.self, mayBeEmpty: false) {
            listener.versions = Set(versions.map(\.choice.protocolVersion))
        }
        if let rate = table.table("rate", known: .rate) { listener.rate = readRate(rate) }
        if let entries = table.strings("allow", mayBeEmpty: false) {
            for (entry, place) in entries where AddressRange(entry) == nil {
                reading.report(
                    "must be an address or a range such as \"10.0.0.0/8\", found \"\(entry)\"", at: place)
            }
            listener.allowed = entries.compactMap { AddressRange($0.text) }
        }
        listener.proxyProtocol = table.choice("proxy_protocol", of: ProxyHeader.Version.self)
        listener.trustedProxies = readTrustedProxies(table)
        if table.has("trusted_proxies"), isMQTT, !table.has("proxy_protocol") {
            table.report("trusted_proxies", "needs `proxy_protocol`: MQTT itself names no client behind a proxy")
        }
    }

    private func readRate(_ table: SettingsTable) -> RateLimit {
        var rate = RateLimit()
        rate.bytesPerSecond = table.rate("bytes", "\"100KiB/s\"", in: 1_024...(1 << 40), RateText.bytes)
        rate.burstBytes = table.size("burst", in: 1_024...(1 << 40))
        rate.messagesPerSecond = table.rate("messages", "\"200/s\"", in: 1...1_000_000_000, RateText.count)
        rate.connectsPerSecond = table.rate("connects", "\"500/s\"", in: 1...1_000_000, RateText.count)
        if rate.burstBytes != nil, !table.has("bytes") { table.report("burst", "needs `bytes` beside it") }
        return rate
    }

    private func readTrustedProxies(_ table: SettingsTable) -> TrustedProxies {
        guard let entries = table.strings("trusted_proxies", mayBeEmpty: true) else { return .none }
        for (entry, place) in entries where TrustedProxies([entry]) == nil {
            reading.report(
                "must be an address, a range such as \"10.0.0.0/8\", or \"unix\", found \"\(entry)\"", at: place)
        }
        return TrustedProxies(entries.map(\.text)) ?? .none
    }

    private func freeName(startingWith type: String) -> String {
        let taken = Set(configuration.listeners.map(\.name))
        if !taken.contains(type) { return type }
        var number = 2
        while taken.contains("\(type)-\(number)") { number += 1 }
        return "\(type)-\(number)"
    }

    // MARK: What listeners mean together

    private func checkListeners() {
        var names: [String: Place] = [:]
        var doors: [(address: BindAddress, place: Place)] = []
        for (listener, place) in zip(configuration.listeners, listenerPlaces) {
            if let earlier = names[listener.name] {
                reading.report(
                    "\"\(listener.name)\" is already the name of the listener at \(earlier.fileAndLine)",
                    at: place.key("name")
                )
            } else {
                names[listener.name] = place
            }
            checkServing(listener, at: place)
            checkEntry(listener, at: place)
            for address in listener.addresses {
                if let earlier = doors.first(where: { $0.address.collides(with: address) }) {
                    reading.report(
                        "\(address) is already taken by \(earlier.address) at \(earlier.place.fileAndLine)",
                        at: place.key("bind")
                    )
                }
                doors.append((address, place.key("bind")))
                if !address.isLoopback, !configuration.authentication.isDecided {
                    reading.report(
                        "\(address) can be reached from other machines, and nobody has to show who it is: name a file "
                            + "of users ([auth.users] file = \"users\", made by `drawbridge passwd users NAME`), or bind "
                            + "to 127.0.0.1 / [::1] / localhost, or say auth.anonymous = true",
                        at: place.key("bind")
                    )
                }
            }
        }
    }

    /// Whether anybody can come in at all.
    private func checkEntry(_ listener: ListenerConfiguration, at place: Place) {
        let authentication = configuration.authentication
        guard authentication.chain == [.cert], !authentication.allowsAnonymous, authentication.links.isEmpty else {
            return
        }
        if case .mux = listener.kind { return }
        if let tls = configuration.tls(of: listener), tls.clientCertificate != .none || tls.username != nil { return }
        reading.warn(
            "nobody comes in here: only certificates say who somebody is, since a listener has `tls.username`, and this "
                + "one asks for none; name a file of users ([auth.users] file), or say auth.anonymous = true",
            at: place
        )
    }

    /// A mux serves listeners of the same file, one of each kind for TLS and the clear; whoever has no address is served.
    private func checkServing(_ listener: ListenerConfiguration, at place: Place) {
        let muxes = configuration.listeners.compactMap { other -> MuxConfiguration? in
            if case .mux(let mux) = other.kind { mux } else { nil }
        }
        guard case .mux(let mux) = listener.kind else {
            if listener.addresses.isEmpty, !muxes.contains(where: { $0.serves.contains(listener.name) }) {
                reading.report(
                    muxes.isEmpty
                        ? "must not be an empty list"
                        : "must not be an empty list: no listener of type \"mux\" serves this one",
                    at: place.key("bind"))
            }
            return
        }
        let tls = configuration.tls(of: listener)
        var taken: [String: String] = [:]
        for (index, name) in mux.serves.enumerated() {
            let place = place.key("serve").element(index)
            guard let served = configuration.listeners.first(where: { $0.name == name }) else {
                reading.report("there is no listener \"\(name)\"", at: place)
                continue
            }
            let kind: String
            switch served.kind {
            case .mqtt: kind = "mqtt"
            case .web: kind = "web"
            case .mux:
                reading.report("\"\(name)\" is of type \"mux\" itself", at: place)
                continue
            }
            if let tls, let own = served.tls, own.asksOtherThan(tls) {
                reading.report(
                    "\"\(name)\" asks its clients for other certificates, names or versions of TLS than this port does, "
                        + "which is asked before anybody knows what a client wants: say the same of client_cert, "
                        + "client_ca, username and min_version",
                    at: place
                )
            }
            // With TLS of its own the mux speaks it with everybody.
            let ways = served.tls != nil ? ["TLS"] : listener.tls != nil ? ["TLS", "the clear"] : ["the clear"]
            for way in ways {
                if let other = taken[kind + way] {
                    reading.report("\"\(other)\" already speaks \(kind) in \(way) here", at: place)
                }
                taken[kind + way] = name
            }
        }
    }
}

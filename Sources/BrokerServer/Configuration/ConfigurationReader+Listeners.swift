/// `[[listener]]`.
extension ConfigurationReader {
    private enum ListenerType: String, CaseIterable {
        case mqtt, web
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
            guard let said = table.choice("type", of: ListenerType.self, later: ["admin", "mux"]) else { return }
            type = said
        }
        let name = table.string("name") ?? freeName(startingWith: type.rawValue)
        if !Identifier.isValid(name) {
            table.report("name", "must be 1 to 64 letters, digits, `-`, `_` or `.`, found \"\(name)\"")
        }
        var listener = ListenerConfiguration(name: name, kind: .mqtt, addresses: [])
        let isEncrypted = table.has("tls")
        listener.tls = listenerTLS(of: table, isWeb: type == .web)
        switch type {
        case .mqtt:
            listener.addresses = [
                isEncrypted ? ListenerConfiguration.defaultTLSAddress : ListenerConfiguration.defaultMQTTAddress
            ]
            for key in KnownKeys.webOnly where table.has(key) {
                table.report(key, "is only for listeners of type \"web\"")
            }
        case .web:
            listener.addresses = [
                isEncrypted ? ListenerConfiguration.defaultWebTLSAddress : ListenerConfiguration.defaultWebAddress
            ]
            listener.kind = .web(readWeb(table))
        }
        if let bind = table.strings("bind", mayBeEmpty: false) { listener.addresses = addresses(in: bind) }
        configuration.listeners.append(listener)
        listenerPlaces.append(table.place)
    }

    private func addresses(in bind: [(text: String, place: Place)]) -> [BindAddress] {
        var addresses: [BindAddress] = []
        for (text, place) in bind {
            if text.hasPrefix("unix:") {
                reading.report("unix sockets are not available in this version, found \"\(text)\"", at: place)
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
            for (path, place) in paths where !Self.isURLPath(path) {
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
            web.origins = origins.map { $0.text.lowercased() }
            for (origin, place) in origins {
                if let problem = Self.problem(inOrigin: origin) {
                    reading.report("\(problem), found \"\(origin)\"", at: place)
                }
            }
        }
        web.requiresSubprotocol = table.boolean("require_subprotocol") ?? web.requiresSubprotocol
        web.allowsMissingOrigin = table.boolean("allow_missing_origin") ?? web.allowsMissingOrigin
        web.staticContent = table.choice("static", of: WebConfiguration.StaticContent.self) ?? web.staticContent
        web.bodyBytesMax = table.size("max_body", in: 1...(256 << 20)) ?? web.bodyBytesMax
        return web
    }

    private static func isURLPath(_ path: String) -> Bool {
        path.hasPrefix("/") && path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x3F && $0 != 0x23 }
    }

    /// An origin is a scheme, a host and perhaps a port, and nothing after them; browsers send no more (RFC 6454 §7).
    private static func problem(inOrigin origin: String) -> String? {
        for scheme in ["https://", "http://"] where origin.hasPrefix(scheme) {
            var host = origin.dropFirst(scheme.count)
            if host.hasPrefix("*.") { host = host.dropFirst(2) }
            if host.contains("*") {
                return "`*` may only stand for the first part of the host, as in https://*.example.com"
            }
            if host.contains("/") { return "an origin ends with the host or port, without any `/` after it" }
            do throws(HostAndPort.Failure) {
                _ = try HostAndPort.parse(host, ports: 1...65_535, defaultPort: 443)
                return nil
            } catch {
                return error.message
            }
        }
        return "must be an origin such as \"https://chat.example.com\" or \"https://*.example.com\""
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
}

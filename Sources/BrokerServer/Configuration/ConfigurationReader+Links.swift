import BrokerCore
import MQTTCodec

/// `[[link]]` and `[defaults.link]`.
extension ConfigurationReader {
    private enum Jitter: String, CaseIterable {
        case decorrelated
    }

    mutating func readLinks(of roots: [SettingsTable]) {
        for table in roots.flatMap({ $0.tables("link", known: .link) }) {
            guard let link = readLink(table) else { continue }
            configuration.links.append(link)
            linkPlaces.append(table.place)
        }
        checkLinks()
        checkRings()
    }

    /// - Returns: nil when the link has no name or no address; what is wrong with it has been reported in any case.
    private func readLink(_ table: SettingsTable) -> LinkConfiguration? {
        let name = table.string("name")
        if !table.has("name") {
            reading.report("a link needs a name, as in name = \"hub\"", at: table.place)
        } else if let name, !Identifier.isValid(name) {
            table.report("name", "must be 1 to 64 letters, digits, `-`, `_` or `.`, found \"\(name)\"")
        }
        if !table.has("addresses") {
            reading.report("a link needs addresses, as in addresses = [\"mqtt://hub.example.com\"]", at: table.place)
        }
        let addresses = (table.strings("addresses", mayBeEmpty: false) ?? []).compactMap(address)

        var link = linkDefaults
        readCommonLinkSettings(table, into: &link)
        link.name = name ?? ""
        link.addresses = addresses
        link.clientID = table.nonEmptyString("client_id") ?? "\(configuration.node.id).\(link.name)"
        if link.clientID.utf8.count > 65_535 { table.report("client_id", "must be at most 65535 bytes") }
        link.usesBridgeBit = table.boolean("bridge_bit") ?? false
        link.trustsIDs = table.boolean("trust_ids") ?? false
        link.username = table.nonEmptyString("username")
        link.password = password(of: table)
        link.sessionExpiry =
            table.duration("session_expiry", in: Self.sessionExpiryRange, wholeSeconds: true) ?? link.sessionExpiry
        link.maxInflight = table.integer("max_inflight", in: 1...65_535) ?? link.maxInflight
        readTLS(of: table, into: &link)
        readLinkSpool(of: table, into: &link)
        readStart(of: table, into: &link)
        readStatus(of: table, into: &link)
        readRules(of: table, into: &link)
        checkVersion(of: link, table)
        checkLoops(of: link, at: table.place)
        return name == nil || addresses.isEmpty ? nil : link
    }

    // MARK: Settings

    /// What `[defaults.link]` and `[[link]]` both may say.
    func readCommonLinkSettings(_ table: SettingsTable, into link: inout LinkConfiguration) {
        if let version = version(of: table) { link.version = version }
        link.keepAlive =
            table.duration("keepalive", in: .seconds(1)...(.seconds(65_535)), wholeSeconds: true) ?? link.keepAlive
        link.acknowledgementTimeout =
            table.duration("ack_timeout", in: .seconds(1)...(.seconds(3_600))) ?? link.acknowledgementTimeout
        readProbe(table, into: &link)
        guard let backoff = table.table("backoff", known: .backoff) else { return }
        let day = Duration.seconds(86_400)
        link.backoff.base = backoff.duration("base", in: .milliseconds(10)...day) ?? link.backoff.base
        link.backoff.cap = backoff.duration("cap", in: .milliseconds(10)...day) ?? link.backoff.cap
        link.backoff.stable = backoff.duration("stable", in: .zero...day) ?? link.backoff.stable
        _ = backoff.choice("jitter", of: Jitter.self)
        if link.backoff.base > link.backoff.cap {
            reading.report(
                "base (\(DurationText.describe(link.backoff.base))) must be at most cap "
                    + "(\(DurationText.describe(link.backoff.cap)))",
                at: backoff.place
            )
        }
    }

    /// `loop = { max_hops, dedup_window }`, one for the node: a message is cut off wherever it comes back.
    mutating func readLoop(of table: SettingsTable) {
        guard let loop = table.table("loop", known: .loop) else { return }
        set(\.loop.hopsMax, loop.integer("max_hops", in: 1...255).map { UInt8(clamping: $0) })
        set(\.loop.window, loop.duration("dedup_window", in: .seconds(1)...(.seconds(86_400))))
    }

    /// `5`, `"5"` or `"3.1.1"`.
    private func version(of table: SettingsTable) -> ProtocolVersion? {
        guard let value = table.values["protocol"] else { return nil }
        switch value {
        case .integer(5):
            return .v5
        case .string:
            guard let text = table.string("protocol") else { return nil }
            if text == "5" { return .v5 }
            if text == "3.1.1" { return .v3_1_1 }
            table.report("protocol", "must be 5 or \"3.1.1\", found \"\(text)\"")
        default:
            table.report("protocol", "must be 5 or \"3.1.1\", found \(value.found)")
        }
        return nil
    }

    private func address(_ text: String, at place: Place) -> LinkAddress? {
        if text.hasPrefix("mqtt+unix://") {
            reading.report("mqtt+unix:// is not available in this version, only mqtt, mqtts, ws and wss", at: place)
            return nil
        }
        guard !text.contains("@") else {
            // The text may hold a password, so it is not shown.
            reading.report("an address has no user: say username = and password = instead", at: place)
            return nil
        }
        do throws(BrokerURL.Invalid) {
            let url = try BrokerURL(text)
            if let path = url.path {
                guard url.transport.isWebSocket else { throw BrokerURL.Invalid("only ws:// and wss:// have a path") }
                guard URLPath.isValid(path, mayHaveQuery: true) else {
                    throw BrokerURL.Invalid("a path is ASCII without spaces and `#`")
                }
            }
            return LinkAddress(url.transport, host: url.host, port: url.port, path: url.path)
        } catch {
            reading.report("\(error), found \"\(text)\"", at: place)
            return nil
        }
    }

    /// `password = "text"` or `password = { file = "path" }`; no message shows what it says.
    private func password(of table: SettingsTable) -> Secret? {
        switch table.values["password"] {
        case nil:
            return nil
        case .string:
            guard let text = table.string("password") else { return nil }
            return secret(Array(text.utf8), at: table.place.key("password"))
        case .table(let values):
            let place = table.place.key("password")
            let inner = SettingsTable(values, known: .password, place: place, reading: reading)
            guard inner.has("file") else {
                reading.report("must be text or { file = \"path\" }", at: place)
                return nil
            }
            guard let path = inner.nonEmptyString("file") else { return nil }
            return secret(inFile: FilePath.resolve(path, besides: place.file), at: place.key("file"))
        default:
            table.report("password", "must be text or { file = \"path\" }")
            return nil
        }
    }

    private func secret(inFile path: String, at place: Place) -> Secret? {
        do throws(ConfigurationFiles.Unreadable) {
            let content = try reading.files.content(path)
            if content.isReadableByAll { reading.warn("\(path) can be read by every user: chmod o-r", at: place) }
            // Editors and `echo` end the last line, and the line end is no part of the password.
            var bytes = content.bytes
            if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
            if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
            return secret(bytes, at: place)
        } catch {
            reading.report("\(path) cannot be read: \(error.reason)", at: place)
            return nil
        }
    }

    private func secret(_ bytes: [UInt8], at place: Place) -> Secret? {
        if bytes.isEmpty {
            reading.report("the password is empty", at: place)
            return nil
        }
        if bytes.count > 65_535 {
            reading.report("a password has at most 65535 bytes, found \(bytes.count)", at: place)
            return nil
        }
        return Secret(bytes: bytes)
    }

    // MARK: What settings mean together

    private func checkVersion(of link: LinkConfiguration, _ table: SettingsTable) {
        if link.version == .v5, link.usesBridgeBit {
            table.report("bridge_bit", "is only for protocol \"3.1.1\"; version 5 asks for No Local by itself")
        }
        if link.version == .v3_1_1, table.has("password"), !table.has("username") {
            // [311:MQTT-3.1.2-22] no password without a user name.
            table.report("password", "protocol \"3.1.1\" has no password without a username")
        }
        if link.outRules.isEmpty, link.inRules.isEmpty, !["out", "in", "both"].contains(where: table.has) {
            reading.warn("carries nothing: add [[link.out]], [[link.in]] or [[link.both]]", at: table.place)
        }
    }

    private func checkLinks() {
        var names: [String: Place] = [:]
        var clients: [LinkClient: Place] = [:]
        for (link, place) in zip(configuration.links, linkPlaces) {
            if let earlier = names[link.name] {
                reading.report(
                    "\"\(link.name)\" is already the name of the link at \(earlier.fileAndLine)", at: place.key("name")
                )
                continue
            }
            names[link.name] = place
            for address in Set(link.addresses) {
                let client = LinkClient(address: address, clientID: link.clientID)
                if let earlier = clients[client] {
                    reading.report(
                        "\(address) would take \"\(link.clientID)\" for the link at \(earlier.fileAndLine), and each "
                            + "would throw the other out: give them different client ids",
                        at: place.key("client_id")
                    )
                } else {
                    clients[client] = place
                }
            }
        }
    }
}

/// Whom an upstream takes for one client.
private struct LinkClient: Hashable {
    var address: LinkAddress
    var clientID: String
}

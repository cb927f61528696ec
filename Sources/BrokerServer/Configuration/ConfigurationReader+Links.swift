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
        link.password = readPassword(of: table)
        link.preference = table.choice("prefer", of: LinkConfiguration.Preference.self) ?? link.preference
        link.sessionExpiry =
            table.duration("session_expiry", in: Self.sessionExpiryRange, wholeSeconds: true) ?? link.sessionExpiry
        link.maxInflight = table.integer("max_inflight", in: 1...65_535) ?? link.maxInflight
        link.catchUpRate = table.rate("catchup_rate", "\"500/s\"", in: 1...1_000_000, RateText.count)
        readTLS(of: table, into: &link)
        readLinkSpool(of: table, into: &link)
        readStart(of: table, into: &link)
        readStatus(of: table, into: &link)
        readRules(of: table, into: &link)
        readEchoTable(of: table, into: &link)
        checkVersions(of: &link, table)
        checkRules(of: link, table)
        checkLoops(of: link, at: table.place)
        return name == nil || addresses.isEmpty ? nil : link
    }

    // MARK: Settings

    /// What `[defaults.link]` and `[[link]]` both may say.
    func readCommonLinkSettings(_ table: SettingsTable, into link: inout LinkConfiguration) {
        readVersions(table, into: &link)
        readProxy(table, into: &link)
        link.connectTimeout =
            table.duration("connect_timeout", in: .milliseconds(100)...(.seconds(300))) ?? link.connectTimeout
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

    // MARK: What settings mean together

    private func checkRules(of link: LinkConfiguration, _ table: SettingsTable) {
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

/// `[[link]]`.
extension MosquittoImporter {
    mutating func linkTables() -> TOMLText {
        var toml = TOMLText()
        var names: Set<String> = []
        for section in bridges {
            let table = linkTable(section, &names)
            toml.blank()
            toml.append(table)
        }
        return toml
    }

    private mutating func linkTable(_ section: MosquittoSection, _ names: inout Set<String>) -> TOMLText {
        guard let header = section.header else { return TOMLText() }
        if section.has("bridge_psk") || section.has("bridge_identity") {
            return leaveOut(section, header, "it shows a pre-shared key: have the upstream take a certificate")
        }
        let addresses = section.takeAll("address") + section.takeAll("addresses")
        guard let addressLine = addresses.first else { return leaveOut(section, header, "it has no address") }
        var name = Self.name(header.value)
        while !names.insert(name).inserted { name += "-2" }
        keep(header, .mapped, name == header.value ? "" : "as \"\(name)\", which may hold letters, digits, -, _ and .")

        var link = LinkDraft()
        link.toml.heading("[[link]]", from: header)
        link.toml.entry("name", text: name)
        link.isEncrypted = [
            "bridge_cafile", "bridge_capath", "bridge_certfile", "bridge_tls_use_os_certs", "bridge_tls_version",
        ].contains(where: section.has)
        let urls = addresses.flatMap(\.words).map { address(of: $0, isEncrypted: link.isEncrypted) }
        link.toml.entry("addresses", TOMLText.list(urls), from: addressLine)
        for line in addresses { keep(line, .mapped) }
        if !link.isEncrypted { warn(header, "messages and passwords travel in the clear") }

        version(section, &link)
        identity(section, name, &link)
        session(section, header, &link)
        timing(section, &link)
        addressOrder(section, urls.count, &link)
        start(section, &link)
        status(section, &link)
        tls(section, &link)
        topics(section, header, &link)
        return link.toml
    }

    /// A link as it grows, and what later lines have to know of earlier ones.
    private struct LinkDraft {
        var toml = TOMLText()
        var isEncrypted = false
        var isVersion5 = false
        /// Whether the upstream knows a bridge when it meets one, and does not echo.
        var hasBridgeBit = false
    }

    private mutating func leaveOut(
        _ section: MosquittoSection,
        _ header: MosquittoLine,
        _ reason: String
    ) -> TOMLText {
        keep(header, .unsupported, reason)
        warn(header, "the bridge \"\(header.value)\" is left out: \(reason)")
        for line in section.lines {
            _ = section.take(line.key)
            keep(line, .unsupported, "this bridge is left out")
        }
        return TOMLText()
    }

    /// `host`, `host:port`, `[::1]:1883`.
    private func address(of text: String, isEncrypted: Bool) -> String {
        let scheme = isEncrypted ? "mqtts" : "mqtt"
        do throws(HostAndPort.Failure) {
            // mosquitto's port is 1883 with TLS as well, unless it is said.
            return "\(scheme)://\(try HostAndPort.parse(text, ports: 1...65_535, defaultPort: 1883))"
        } catch {
            return "\(scheme)://\(text)"
        }
    }

    // MARK: - Who we are

    private mutating func version(_ section: MosquittoSection, _ link: inout LinkDraft) {
        let line = section.take("bridge_protocol_version")
        let privacy = section.take("try_private")
        switch line?.value {
        case "mqttv50":
            link.isVersion5 = true
            link.toml.entry("protocol", "5", from: line)
            if let privacy { keep(privacy, .notNeeded, "version 5 asks for No Local") }
        case "mqttv31":
            link.toml.entry("protocol", text: "3.1", from: line)
            if let privacy { keep(privacy, .mapped) }
            link.hasBridgeBit = privacy?.boolean ?? true
        default:
            link.toml.entry("protocol", text: "3.1.1", from: line)
            link.hasBridgeBit = privacy?.boolean ?? true
            if let privacy { keep(privacy, .mapped) }
        }
        if link.hasBridgeBit { link.toml.entry("bridge_bit", "true", from: privacy) }
        if let line { keep(line, .mapped) }
    }

    private mutating func identity(_ section: MosquittoSection, _ name: String, _ link: inout LinkDraft) {
        if let line = section.take(anyOf: ["clientid", "remote_clientid"]) {
            link.toml.entry("client_id", text: line.value, from: line)
            keep(line, .mapped)
        }
        if let line = section.take(anyOf: ["username", "remote_username"]) {
            link.toml.entry("username", text: line.value, from: line)
            keep(line, .mapped)
        }
        guard let line = section.take(anyOf: ["password", "remote_password"]) else { return }
        let file = "\(name).password"
        link.toml.entry("password", "{ file = \(TOMLText.quoted(file)) }", from: line)
        attachments.append(ImportedConfiguration.File(name: file, text: line.value + "\n", isSecret: true))
        keep(line, .mapped, "in a file of its own, \(file)")
    }

    // MARK: - How

    private mutating func session(
        _ section: MosquittoSection,
        _ header: MosquittoLine,
        _ link: inout LinkDraft
    ) {
        let clean = section.take("cleansession")
        let expiry = section.take("bridge_session_expiry_interval")
        if let clean {
            keep(clean, .mapped)
            if clean.boolean == true {
                link.toml.entry("session_expiry", text: "0s", from: clean)
                warn(clean, "what the upstream has for us while the link is down is lost: leave session_expiry out")
            }
        }
        if let expiry {
            if clean?.boolean == true {
                keep(expiry, .notNeeded, "cleansession wins")
            } else if link.isVersion5, let seconds = expiry.integer, seconds > 0 {
                link.toml.entry("session_expiry", text: "\(min(seconds, 4_294_967_295))s", from: expiry)
                keep(expiry, .mapped)
            } else {
                keep(expiry, .notNeeded, "30 days are the default")
            }
        }
        if let line = section.take(anyOf: ["bridge_receive_maximum", "bridge_max_inflight_messages"]) {
            link.toml.entry("max_inflight", "\(min(max(line.integer ?? 64, 1), 65_535))", from: line)
            keep(line, .mapped)
        }
    }

    private mutating func timing(_ section: MosquittoSection, _ link: inout LinkDraft) {
        if let line = section.take("keepalive_interval") {
            link.toml.entry("keepalive", text: "\(min(max(line.integer ?? 60, 1), 65_535))s", from: line)
            keep(line, .mapped)
        }
        guard let line = section.take("restart_timeout") else { return }
        let numbers = line.words.compactMap { Int($0) }.map { min(max($0, 1), 86_400) }
        guard let base = numbers.first else { return keep(line, .unsupported, "it has no number") }
        let cap = max(numbers.dropFirst().first ?? base, base)
        let stable = numbers.count > 2 ? ", stable = \"\(numbers[2])s\"" : ""
        link.toml.entry("backoff", "{ base = \"\(base)s\", cap = \"\(cap)s\"\(stable) }", from: line)
        keep(line, .mapped)
    }

    private mutating func addressOrder(_ section: MosquittoSection, _ count: Int, _ link: inout LinkDraft) {
        guard let line = section.take("round_robin") else { return }
        if line.boolean != true {
            keep(line, .notNeeded, "the first address is preferred")
        } else if KnownKeys.link.available.contains("prefer") {
            link.toml.entry("prefer", text: "round-robin", from: line)
            keep(line, .mapped)
        } else {
            keep(line, count > 1 ? .unsupported : .notNeeded, "addresses are tried in order")
        }
    }

    private mutating func start(_ section: MosquittoSection, _ link: inout LinkDraft) {
        let idle = section.take("idle_timeout")
        if let idle { keep(idle, .notNeeded, "only for a lazy bridge") }
        guard let line = section.take("start_type") else { return }
        if line.value == "automatic" {
            keep(line, .notNeeded, "the default")
        } else if KnownKeys.link.available.contains("start"), ["lazy", "once", "manual"].contains(line.value) {
            link.toml.entry("start", text: line.value, from: line)
            keep(line, .mapped)
        } else {
            keep(line, .unsupported, "links start with the node")
            warn(line, "this bridge did not connect by itself; as a link it does")
        }
    }

    /// mosquitto tells the state of a bridge on both sides unless it is told not to.
    private mutating func status(_ section: MosquittoSection, _ link: inout LinkDraft) {
        let wanted = section.take("notifications")
        let topic = section.take("notification_topic")
        let local = section.take("notifications_local_only")
        guard wanted?.boolean != false else {
            for line in [wanted, topic, local].compactMap(\.self) {
                keep(line, .notNeeded, "the state of a link stays on its own node")
            }
            return
        }
        guard KnownKeys.link.available.contains("status") else {
            for line in [wanted, topic, local].compactMap(\.self) {
                keep(line, .notNeeded, "GET /healthz and `drawbridge ctl` tell the state of a link")
            }
            if let line = wanted ?? topic {
                warn(line, "whoever watches the state of this bridge by its topic has to look elsewhere")
            }
            return
        }
        for line in [wanted, topic, local].compactMap(\.self) { keep(line, .mapped) }
        guard let first = topic ?? wanted else { return }
        link.toml.heading("[link.status]", from: first)
        if let topic { link.toml.entry("topic", text: topic.value, from: topic) }
        link.toml.entry("local_only", "\(local?.boolean ?? false)", from: local)
    }

    private mutating func tls(_ section: MosquittoSection, _ link: inout LinkDraft) {
        var table = TOMLText()
        if let line = section.take("bridge_cafile") {
            table.entry("ca", text: resolve(line.value), from: line)
            keep(line, .mapped)
        }
        if let line = section.take("bridge_tls_use_os_certs") {
            if line.boolean == true, table.isEmpty { table.entry("ca", text: "system", from: line) }
            keep(line, .mapped)
        }
        if let line = section.take("bridge_capath") {
            if line.value.hasPrefix("/etc/ssl/certs") {
                if table.isEmpty { table.entry("ca", text: "system", from: line) }
                keep(line, .mapped, "the authorities of the system")
            } else {
                keep(line, .unsupported, "authorities are one file: put those of the folder into `ca`")
            }
        }
        for (key, name) in [("bridge_certfile", "cert"), ("bridge_keyfile", "key")] {
            guard let line = section.take(key) else { continue }
            table.entry(name, text: resolve(line.value), from: line)
            keep(line, .mapped)
        }
        if let line = section.take("bridge_alpn") {
            table.entry("alpn", TOMLText.list(line.words), from: line)
            keep(line, .mapped)
        }
        if let line = section.take("bridge_insecure") {
            keep(line, .mapped)
            if line.boolean == true {
                table.entry("verify", text: "ca", from: line)
                warn(line, "the name in the upstream's certificate is not checked: verify = \"full\" would")
            }
        }
        guard link.isEncrypted, !table.isEmpty else { return }
        link.toml.heading("[link.tls]")
        link.toml.append(table)
    }

    // MARK: - What travels

    private mutating func topics(
        _ section: MosquittoSection,
        _ header: MosquittoLine,
        _ link: inout LinkDraft
    ) {
        let retain = section.take("bridge_outgoing_retain")
        if let retain { keep(retain, .mapped) }
        let clears = retain?.boolean == false
        let lines = section.takeAll("topic")
        if lines.isEmpty { warn(header, "no topic travels over this bridge") }
        for line in lines {
            guard let rule = MosquittoTopic(line) else {
                keep(line, .unsupported, "it is no rule: a filter, then out, in or both, 0 to 2, and two prefixes")
                continue
            }
            if let problem = rule.problem {
                keep(line, .unsupported, problem)
                continue
            }
            keep(line, .mapped)
            if !rule.saysQoS { warn(line, "QoS 0, since the line names none: what cannot be sent is lost") }
            if rule.pattern == "#", rule.local.isEmpty, rule.remote.isEmpty, rule.direction == .both {
                warn(line, "everything, both ways, without prefixes: with a second such bridge it is a loop")
            }
            if rule.direction == .both, !link.isVersion5, !link.hasBridgeBit {
                warn(line, "without try_private what we send may come back")
            }
            link.toml.append(rule.tables(clearsRetain: clears ? retain : nil))
        }
    }
}

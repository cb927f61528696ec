/// `[[listener]]`.
extension MosquittoImporter {
    /// Whether mosquitto opens a port on loopback only: nobody named one.
    var isLocalOnly: Bool { listeners.isEmpty && !hasDefaultListener }

    /// Some setting of a listener stands before the first, or without one.
    private var hasDefaultListener: Bool {
        defaultListener.lines.contains { MosquittoKeys.ofListeners.contains($0.key) }
    }

    /// The sections that are listeners, the default one first.
    var doors: [MosquittoSection] {
        (listeners.isEmpty || hasDefaultListener ? [defaultListener] : []) + listeners
    }

    mutating func listenerTables() -> TOMLText {
        var toml = TOMLText()
        var names: Set<String> = []
        for section in doors {
            let table = listenerTable(section, &names)
            toml.blank()
            toml.append(table)
        }
        return toml
    }

    private mutating func listenerTable(_ section: MosquittoSection, _ names: inout Set<String>) -> TOMLText {
        guard let door = door(of: section) else { return TOMLText() }
        if section.has("psk_hint") || section.has("psk_file"), !section.has("certfile") {
            return leaveOut(section, "it only takes pre-shared keys, and without them it would be open")
        }
        var isWeb = false
        let protocolLine = section.take("protocol")
        if let line = protocolLine {
            switch line.value {
            case "mqtt": keep(line, .mapped)
            case "websockets":
                isWeb = true
                keep(line, .mapped)
            default: return leaveOut(section, "there is no listener of the kind \"\(line.value)\"")
            }
        }
        var toml = TOMLText()
        toml.heading("[[listener]]", from: section.header ?? section.lines.first { $0.key == "port" })
        let name = free((isWeb ? "web-" : "mqtt-") + door.label, &names)
        toml.entry("name", text: name)
        toml.entry("type", text: isWeb ? "web" : "mqtt", from: protocolLine)
        toml.entry("bind", TOMLText.list(door.binds), from: section.lines.first { $0.key == "bind_address" })
        versions(section, &toml)
        if isWeb { web(section, &toml) }
        if let line = section.take("enable_proxy_protocol") {
            if line.value == "1" || line.value == "2" {
                toml.entry("proxy_protocol", text: "v\(line.value)", from: line)
                keep(line, .mapped)
                warn(line, "name the load balancers in trusted_proxies, or anybody can claim any address")
            } else {
                keep(line, .unsupported, "it is 1 or 2")
            }
        }
        limits(section, &toml)
        tls(section, &toml)
        return toml
    }

    // MARK: - Where

    private struct Door {
        var binds: [String]
        /// For the name: the port, or the last part of a path.
        var label: String
    }

    private mutating func door(of section: MosquittoSection) -> Door? {
        let portLine = section.header ?? section.take("port")
        let words = portLine?.words ?? []
        let addressLine = section.take("bind_address")
        let domainLine = section.take("socket_domain")
        if let domainLine { keep(domainLine, .mapped) }
        if let addressLine { keep(addressLine, .mapped) }
        guard let port = Int(words.first ?? "1883"), (0...65_535).contains(port) else {
            if let portLine { keep(portLine, .unsupported, "it has no port") }
            return nil
        }
        let host = words.count > 1 ? words.dropFirst().joined(separator: " ") : addressLine?.value
        if let portLine { keep(portLine, .mapped) }
        if port == 0, let host, host.hasPrefix("/") {
            return Door(binds: ["unix:\(host)"], label: Self.name(FileName.last(of: host)))
        }
        let label = String(port)
        if let host {
            return Door(binds: [host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"], label: label)
        }
        if isLocalOnly { return Door(binds: ["127.0.0.1:\(port)", "[::1]:\(port)"], label: label) }
        switch domainLine?.value {
        case "ipv4": return Door(binds: ["0.0.0.0:\(port)"], label: label)
        default: return Door(binds: ["[::]:\(port)"], label: label)
        }
    }

    private func free(_ name: String, _ names: inout Set<String>) -> String {
        var candidate = name
        var number = 2
        while !names.insert(candidate).inserted {
            candidate = "\(name)-\(number)"
            number += 1
        }
        return candidate
    }

    /// What may be a name here; other characters become `-`.
    static func name(_ text: String) -> String {
        let bytes = text.utf8.prefix(60).map { Identifier.mayContain($0) ? $0 : UInt8(ascii: "-") }
        return bytes.isEmpty ? "unnamed" : String(decoding: bytes, as: UTF8.self)
    }

    private mutating func leaveOut(_ section: MosquittoSection, _ reason: String) -> TOMLText {
        for line in section.lines + (section.header.map { [$0] } ?? []) {
            remarks.removeAll { $0.line == line }
            keep(line, .unsupported, line == section.header ? reason : "this listener is left out")
        }
        for line in section.lines { _ = section.take(line.key) }
        warn(section.header ?? section.lines.first, "this listener is left out: \(reason)")
        return TOMLText()
    }

    // MARK: - What

    private mutating func versions(_ section: MosquittoSection, _ toml: inout TOMLText) {
        guard let line = section.take("accept_protocol_versions") else { return }
        let known = ["3": "3.1", "4": "3.1.1", "5": "5"]
        let versions = line.value.split(whereSeparator: { $0 == "," || $0 == " " }).compactMap { known[String($0)] }
        guard !versions.isEmpty else { return keep(line, .unsupported, "it names no version") }
        toml.entry("versions", TOMLText.list(versions), from: line)
        keep(line, .mapped)
    }

    private mutating func web(_ section: MosquittoSection, _ toml: inout TOMLText) {
        toml.entry("static", text: "none")
        let lines = section.takeAll("websockets_origin")
        var origins: [String] = []
        for line in lines {
            do throws(WebOrigin.Invalid) {
                _ = try WebOriginPattern(line.value)
                origins.append(line.value)
                keep(line, .mapped)
            } catch {
                keep(line, .unsupported, error.message)
            }
        }
        if let last = lines.last {
            toml.entry("origins", TOMLText.list(origins), from: last)
        } else {
            warn(
                section.header,
                "mosquitto lets in web pages from anywhere, this listener only those of its own address: name others in "
                    + "`origins`"
            )
        }
    }

    private mutating func limits(_ section: MosquittoSection, _ toml: inout TOMLText) {
        var table = TOMLText()
        if let line = section.take("max_connections") {
            if let count = line.integer, count > 0 {
                table.entry("max_connections", "\(min(count, 1_000_000))", from: line)
                keep(line, .mapped)
            } else {
                keep(line, .notNeeded, "limits.max_connections bounds all listeners together")
            }
        }
        if let line = section.take("max_qos") {
            if let qos = line.integer, (0...2).contains(qos) {
                table.entry("max_qos", "\(qos)", from: line)
                keep(line, .mapped)
            } else {
                keep(line, .unsupported, "it is 0, 1 or 2")
            }
        }
        guard !table.isEmpty else { return }
        toml.heading("[listener.limits]")
        toml.append(table)
    }

    private mutating func tls(_ section: MosquittoSection, _ toml: inout TOMLText) {
        let certificate = section.take("certfile")
        let key = section.take("keyfile")
        let authority = section.take("cafile")
        let wantsCertificate = section.take("require_certificate")
        let version = section.take("tls_version")
        let names = ["use_identity_as_username": "cn", "use_subject_as_username": "dn"]
        let nameLines = names.keys.sorted().compactMap { section.take($0) }
        let folder = section.take("capath")
        if let folder { keep(folder, .unsupported, "authorities are one file: put those of the folder into client_ca") }
        guard let certificate, let key else {
            for line in [certificate, key, authority, wantsCertificate, version].compactMap(\.self) + nameLines {
                keep(line, .unsupported, "a listener with TLS has certfile and keyfile")
            }
            return
        }
        toml.heading("[listener.tls]")
        toml.entry("cert", text: resolve(certificate.value), from: certificate)
        toml.entry("key", text: resolve(key.value), from: key)
        keep(certificate, .mapped)
        keep(key, .mapped)
        let isRequired = wantsCertificate?.boolean == true
        if let wantsCertificate { keep(wantsCertificate, .mapped) }
        if isRequired, let authority {
            toml.entry("client_ca", text: resolve(authority.value), from: authority)
            toml.entry("client_cert", text: "required", from: wantsCertificate)
            keep(authority, .mapped)
        } else if isRequired {
            toml.comment("client_ca has to name the authorities of clients: a file, where mosquitto had a folder")
            toml.entry("client_cert", text: "required", from: wantsCertificate)
        } else if let authority {
            keep(authority, .notNeeded, "clients are not asked for a certificate")
        }
        for line in nameLines {
            guard line.boolean == true else {
                keep(line, .notNeeded)
                continue
            }
            guard isRequired else {
                keep(line, .notNeeded, "clients are not asked for a certificate")
                continue
            }
            toml.entry("username", text: names[line.key] ?? "cn", from: line)
            keep(line, .mapped)
        }
        guard let version else { return }
        switch version.value {
        case "tlsv1.3":
            toml.entry("min_version", text: "1.3", from: version)
            keep(version, .mapped)
        case "tlsv1.2":
            keep(version, .notNeeded, "1.2 is the oldest that is spoken")
        default:
            keep(version, .unsupported, "nothing older than TLS 1.2 is spoken")
        }
    }
}

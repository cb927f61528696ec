import MQTTCodec

/// How a link reaches its upstream: versions of the protocol, passwords, the order of addresses, a proxy.
extension ConfigurationReader {
    // MARK: Versions

    /// `protocol`: 5, "3.1.1" or "3.1", or a list of them in the order in which they are tried.
    func readVersions(_ table: SettingsTable, into link: inout LinkConfiguration) {
        guard let value = table.values["protocol"] else { return }
        var values = [value]
        if case .array(let elements) = value {
            guard !elements.isEmpty else { return table.report("protocol", "must not be an empty list") }
            values = elements
        }
        var versions: [ProtocolVersion] = []
        for value in values {
            guard let version = version(value, table) else {
                return table.report(
                    "protocol", "must be 5, \"3.1.1\" or \"3.1\", or a list of them, found \(value.found)")
            }
            if !versions.contains(version) { versions.append(version) }
        }
        link.versions = versions
        link.mayFallBack = false
        if case .array = value { return }
        // A 5 that stands alone says what is wanted most, as nothing at all does.
        if versions == [.v5] {
            link.versions = [.v5, .v3_1_1]
            link.mayFallBack = true
        }
    }

    private func version(_ value: ConfigurationValue, _ table: SettingsTable) -> ProtocolVersion? {
        switch value {
        case .integer(5): .v5
        case .string:
            switch table.expanded(value, at: table.place.key("protocol")) {
            case "5": .v5
            case "3.1.1": .v3_1_1
            case "3.1": .v3_1
            default: nil
            }
        default: nil
        }
    }

    /// Takes the older version away where it was not asked for and would do harm, and says what it cannot do where it was.
    func checkVersions(of link: inout LinkConfiguration, _ table: SettingsTable) {
        let hasLonePassword = link.password != nil && link.username == nil
        if link.mayFallBack, hasLonePassword || (!link.usesBridgeBit && echoes(link)) { link.versions = [.v5] }
        if link.usesBridgeBit, !link.mayFallBack, link.versions == [.v5] {
            table.report("bridge_bit", "is only for protocol \"3.1.1\"; version 5 asks for No Local by itself")
        }
        if link.hasVersion3, hasLonePassword, table.has("password") {
            // [311:MQTT-3.1.2-22] no password without a user name.
            table.report("password", "protocol \"3.1.1\" has no password without a username")
        }
        if link.versions.contains(.v3_1), link.clientID.utf8.count > 23 {
            reading.warn(
                "protocol \"3.1\" has client ids of at most 23 bytes, and \"\(link.clientID)\" is longer",
                at: table.place
            )
        }
    }

    /// Whether an upstream that knows no No Local would send back what goes out.
    private func echoes(_ link: LinkConfiguration) -> Bool {
        link.outRules.contains { out in link.inRules.contains { $0.taken(from: out.targetFilter) != nil } }
    }

    // MARK: Passwords

    /// `password = "text"` or a table that says where it is; no message shows what it says.
    func readPassword(of table: SettingsTable) -> CredentialSource? {
        let forms = "text, { file = \"path\" }, { env = \"NAME\" } or { command = [\"program\"] }"
        switch table.values["password"] {
        case nil:
            return nil
        case .string:
            guard let text = table.string("password") else { return nil }
            if text.isEmpty { table.report("password", "the password is empty") }
            if text.utf8.count > CredentialSource.bytesMax {
                table.report("password", "a password has at most 65535 bytes, found \(text.utf8.count)")
            }
            return .text(Secret(bytes: Array(text.utf8)))
        case .table(let values):
            let place = table.place.key("password")
            let inner = SettingsTable(values, known: .password, place: place, reading: reading)
            let keys = KnownKeys.password.available.filter(inner.has)
            guard keys.count == 1, let key = keys.first else {
                reading.report("must be \(forms)", at: place)
                return nil
            }
            return source(key, inner)
        default:
            table.report("password", "must be \(forms)")
            return nil
        }
    }

    private func source(_ key: String, _ table: SettingsTable) -> CredentialSource? {
        switch key {
        case "file":
            guard let name = table.nonEmptyString(key) else { return nil }
            let path = FilePath.resolve(name, besides: table.place.file)
            check(.file(path), at: table.place.key(key))
            return .file(path)
        case "env":
            guard let name = table.nonEmptyString(key) else { return nil }
            check(.environment(name), at: table.place.key(key))
            return .environment(name)
        default:
            guard let words = table.strings(key, mayBeEmpty: false)?.map(\.text) else { return nil }
            if words.first?.isEmpty == true || words.contains(where: { $0.contains("\0") }) {
                table.report(key, "must begin with the program, as in [\"/usr/local/bin/token\", \"--now\"]")
                return nil
            }
            // Run when the link connects, and not by a check.
            return .command(words)
        }
    }

    /// What would keep the link from connecting is said now, although it is read again then.
    private func check(_ source: CredentialSource, at place: Place) {
        do throws(CredentialSource.Failure) {
            _ = try source.read(environment: { reading.environment[$0] }, files: reading.files)
            if case .file(let path) = source { warnIfOpen(path, at: place) }
        } catch {
            reading.report(error.description, at: place)
        }
    }

    private func warnIfOpen(_ path: String, at place: Place) {
        do throws(ConfigurationFiles.Unreadable) {
            guard try reading.files.content(path).isReadableByAll else { return }
            reading.warn("\(path) can be read by every user: chmod o-r", at: place)
        } catch {
            reading.report("\(path) cannot be read: \(error.reason)", at: place)
        }
    }

    // MARK: Ways

    func readProxy(_ table: SettingsTable, into link: inout LinkConfiguration) {
        guard let text = table.string("proxy") else { return }
        if text.isEmpty {
            // For one link, where the others have one.
            link.proxy = nil
            return
        }
        do throws(LinkProxy.Invalid) {
            link.proxy = try LinkProxy(text)
        } catch {
            // The text may hold a password, so it is not shown.
            table.report("proxy", error.message)
        }
    }
}

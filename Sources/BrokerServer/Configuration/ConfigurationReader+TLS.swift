import Certificates

/// `[listener.tls]` and `[link.tls]`: the settings, and the files that they name.
///
/// The files are read here too, so that `drawbridge check` finds what would stop the start.
extension ConfigurationReader {
    private enum Username: String, CaseIterable {
        case none
        case commonName = "cn"
        case distinguishedName = "dn"
        case email = "san-email"

        var certificateName: CertificateName? { CertificateName(rawValue: rawValue) }
    }

    /// - Returns: nil when there is no such table, or when it lacks what it cannot do without.
    func listenerTLS(of listener: SettingsTable, named name: String, isWeb: Bool) -> ListenerTLSConfiguration? {
        guard let table = listener.table("tls", known: .listenerTLS) else { return nil }
        for key in ["cert", "key"] where !table.has(key) {
            reading.report("TLS needs `\(key)`; `drawbridge cert init` makes certificates", at: table.place)
        }
        guard let certificate = path("cert", of: table), let key = path("key", of: table) else { return nil }
        var tls = ListenerTLSConfiguration(certificatePath: certificate, keyPath: key)
        tls.clientAuthorityPath = path("client_ca", of: table)
        tls.clientCertificate =
            table.choice("client_cert", of: ListenerTLSConfiguration.ClientCertificate.self) ?? tls.clientCertificate
        tls.username = table.choice("username", of: Username.self)?.certificateName
        tls.minimumVersion =
            table.choice("min_version", of: ListenerTLSConfiguration.Version.self) ?? tls.minimumVersion
        tls.isWatched = table.boolean("watch") ?? tls.isWatched

        if tls.clientCertificate != .none, !table.has("client_ca") {
            reading.report(
                "client_cert = \"\(tls.clientCertificate.rawValue)\" needs `client_ca`, the authorities of clients",
                at: table.place
            )
            return tls
        }
        if tls.clientCertificate == .none {
            for (key, isThere) in [("client_ca", tls.clientAuthorityPath != nil), ("username", tls.username != nil)]
            where isThere {
                table.report(key, "is only for client_cert = \"optional\" or \"required\"")
            }
        }
        check(table, "listener \(name)") { files throws(TLSProblem) in
            try tls.load(files, applicationProtocols: [isWeb ? "http/1.1" : "mqtt"])
        }
        return tls
    }

    func readTLS(of linkTable: SettingsTable, into link: inout LinkConfiguration) {
        guard let table = linkTable.table("tls", known: .linkTLS) else { return }
        if let authority = table.nonEmptyString("ca"), authority != "system" {
            link.tls.authorityPath = FilePath.resolve(authority, besides: table.place.file)
        }
        link.tls.certificatePath = path("cert", of: table)
        link.tls.keyPath = path("key", of: table)
        for (one, other) in [("cert", "key"), ("key", "cert")] where table.has(one) && !table.has(other) {
            table.report(one, "needs `\(other)` beside it")
        }
        if let protocols = table.strings("alpn", mayBeEmpty: true) {
            link.tls.applicationProtocols = protocols.map(\.text)
            for (name, place) in protocols where !(1...255).contains(name.utf8.count) {
                reading.report("must be 1 to 255 bytes, found \"\(name)\"", at: place)
            }
        }
        if let name = table.nonEmptyString("server_name") {
            if Self.isHostName(name) {
                link.tls.serverName = name
            } else {
                table.report("server_name", "must be a host name, found \"\(name)\"")
            }
        }
        link.tls.verification =
            table.choice("verify", of: LinkTLSConfiguration.Verification.self) ?? link.tls.verification
        if link.tls.verification == .none {
            reading.warn(
                "anybody can pretend to be the upstream: never outside of a test", at: table.place.key("verify"))
        }
        if !link.addresses.contains(where: \.transport.isEncrypted) {
            reading.warn("no address of this link uses TLS (mqtts:// or wss://)", at: table.place)
        }
        let tls = link.tls
        check(table, "link \(link.name)") { files throws(TLSProblem) in
            try tls.load(files, applicationProtocol: "mqtt")
        }
    }

    // MARK: Files

    private func path(_ key: String, of table: SettingsTable) -> String? {
        table.nonEmptyString(key).map { FilePath.resolve($0, besides: table.place.file) }
    }

    /// Loads as the start will, and says what an operator should know although it works.
    private func check(
        _ table: SettingsTable,
        _ owner: String,
        _ load: (ConfigurationFiles) throws(TLSProblem) -> LoadedTLS
    ) {
        do throws(TLSProblem) {
            let loaded = try load(reading.files)
            if let facts = loaded.certificate {
                let now = CertificateWatch.now
                reading.found(CertificateStatus(owner: owner, facts: facts, now: now))
                if let warning = facts.expiryWarning(now: now) { reading.warn(warning, at: table.place.key("cert")) }
            }
            if let key = path("key", of: table), try reading.files.isReadableByAll(key) {
                reading.warn("\(key) can be read by every user: chmod 600", at: table.place.key("key"))
            }
        } catch {
            table.report(error.setting, error.message)
        }
    }

    private static func isHostName(_ text: String) -> Bool {
        do throws(CertificateHost.Invalid) {
            return try !CertificateHost(text).isAddress
        } catch {
            return false
        }
    }
}

extension ConfigurationFiles {
    fileprivate func isReadableByAll(_ path: String) throws(TLSProblem) -> Bool {
        do throws(Unreadable) {
            return try content(path).isReadableByAll
        } catch {
            throw TLSProblem(setting: "key", message: "\(path) cannot be read: \(error.reason)")
        }
    }
}

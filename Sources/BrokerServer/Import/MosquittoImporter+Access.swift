/// `[auth]` and `[acl]`.
extension MosquittoImporter {
    /// Who may come in and what for, in one place; mosquitto may have it for each listener.
    private struct Security {
        var anonymous: MosquittoLine?
        var passwords: MosquittoLine?
        var rules: MosquittoLine?
    }

    mutating func accessTables() -> TOMLText {
        if let line = broker.take("per_listener_settings") {
            keep(line, line.boolean == true ? .unsupported : .notNeeded, "logins and rules are those of the node")
        }
        let security = isPerListener ? ofAllListeners() : take(from: broker)
        let allowsAnonymous = security.anonymous?.boolean ?? isLocalOnly
        if let line = security.anonymous { keep(line, .mapped) }
        var toml = TOMLText()
        let names = users(security, allowsAnonymous, &toml)
        rules(security, names, &toml)
        return toml
    }

    private func take(from section: MosquittoSection) -> Security {
        Security(
            anonymous: section.take("allow_anonymous"),
            passwords: section.take("password_file"),
            rules: section.take("acl_file")
        )
    }

    /// One for all listeners: the first file of each kind, and strangers only where every listener let them in.
    private mutating func ofAllListeners() -> Security {
        var common = take(from: broker)
        let all = doors.map { (section: $0, security: take(from: $0)) }
        for (_, security) in all {
            if common.passwords == nil { common.passwords = security.passwords }
            if common.rules == nil { common.rules = security.rules }
            for (line, taken) in [(security.passwords, common.passwords), (security.rules, common.rules)] {
                guard let line, line != taken else { continue }
                if line.value == taken?.value {
                    keep(line, .mapped)
                } else {
                    keep(line, .unsupported, "there is one such file for all listeners, that of \(taken?.place ?? "")")
                    warn(line, "this file is left out, and who is only in it cannot come in")
                }
            }
        }
        let open = all.filter { $0.security.anonymous?.boolean == true }
        for (_, security) in all {
            guard let line = security.anonymous else { continue }
            if common.anonymous == nil || open.count == all.count {
                common.anonymous = open.count == all.count ? line : nil
            }
            keep(line, .mapped, open.count == all.count ? "" : "strangers are let in by all listeners or by none")
        }
        if !open.isEmpty, open.count < all.count {
            warn(open.first?.section.header, "this listener let strangers in; now everybody has to show a password")
        }
        let closed = all.filter { $0.security.rules == nil }
        if common.rules != nil, !closed.isEmpty {
            warn(closed.first?.section.header, "this listener had no access rules; now the rules are for all")
        }
        return common
    }

    // MARK: - Users

    /// - Returns: the names of those who have a password.
    private mutating func users(
        _ security: Security,
        _ allowsAnonymous: Bool,
        _ toml: inout TOMLText
    ) -> [String] {
        let knowsCertificates = doors.contains { section in
            section.lines.contains { $0.key.hasPrefix("use_") && $0.boolean == true }
        }
        if allowsAnonymous, !isLocalOnly {
            warn(security.anonymous, "everybody who reaches a port may come in: make users with `drawbridge passwd`")
        }
        guard let line = security.passwords else {
            if allowsAnonymous {
                guard !isLocalOnly || security.anonymous != nil else { return [] }
                toml.heading("[auth]")
                toml.entry("anonymous", "true", from: security.anonymous)
            } else if !knowsCertificates {
                toml.heading("[auth]")
                toml.comment("Nobody has a password yet: drawbridge passwd users NAME")
                toml.entry("chain", TOMLText.list(["users"]), from: security.anonymous)
                toml.heading("[auth.users]")
                toml.entry("file", text: "users")
                let text = "# drawbridge passwd users NAME\n"
                attachments.append(ImportedConfiguration.File(name: "users", text: text, isSecret: true))
                warn(security.anonymous, "nobody is let in until there are users: drawbridge passwd users NAME")
            }
            return []
        }
        if allowsAnonymous {
            toml.heading("[auth]")
            toml.entry("anonymous", "true", from: security.anonymous)
        }
        toml.heading("[auth.users]")
        toml.entry("file", text: "users", from: line)
        do throws(ImportFailure) {
            let (text, names) = userFile(try self.text(of: resolve(line.value)), line)
            attachments.append(ImportedConfiguration.File(name: "users", text: text, isSecret: true))
            keep(line, .mapped, "its hashes are read as they are")
            return names
        } catch {
            attachments.append(ImportedConfiguration.File(name: "users", text: "# \(error)\n", isSecret: true))
            keep(line, .unsupported, error.description)
            warn(line, "\(error): copy it to `users`, or nobody can log in")
            return []
        }
    }

    /// Lines that can be used as they are; others as comments, without what may be a password.
    private mutating func userFile(_ text: String, _ line: MosquittoLine) -> (text: String, names: [String]) {
        var lines = ["# From \(line.value)"]
        var names: [String] = []
        for (index, text) in UserFileLine.lines(of: text).enumerated() {
            do throws(PasswordHash.Problem) {
                guard let user = try UserFileLine.user(text) else { continue }
                _ = try PasswordHash(user.hash)
                guard !names.contains(user.name) else { continue }
                names.append(user.name)
                lines.append("\(user.name):\(user.hash)")
            } catch {
                let name = text.prefix { $0 != ":" }
                lines.append("# \(name): \(error.message)")
                warnings.append(
                    ImportWarning(
                        place: "\(FileName.last(of: line.value)):\(index + 1)",
                        text: "\"\(name)\" cannot log in: \(error.message)"
                    )
                )
            }
        }
        return (lines.joined(separator: "\n") + "\n", names)
    }

    // MARK: - Rules

    private mutating func rules(_ security: Security, _ names: [String], _ toml: inout TOMLText) {
        guard let line = security.rules else {
            warn(nil, "there are no access rules, as before: everybody may publish and read everything; see [acl]")
            return
        }
        let path = resolve(line.value)
        let list: MosquittoAccessList
        do throws(ImportFailure) {
            list = MosquittoAccessList(MosquittoLine.lines(of: try text(of: path), file: path))
        } catch {
            keep(line, .unsupported, error.description)
            warn(line, "\(error): nobody may publish or subscribe until [acl] has rules")
            toml.blank()
            toml.heading("[acl]", from: line)
            toml.entry("default", text: "deny")
            return
        }
        keep(line, .mapped)
        for (line, reason) in list.unsupported {
            warnings.append(ImportWarning(place: line.place, text: "\(line.key): not taken over: \(reason)"))
        }
        if security.passwords == nil, list.speaksOfUsers {
            warn(line, "its rules are about users, and nobody shows a password: here an unproven name is no name")
        }
        warn(
            line,
            "mosquitto grants any filter and holds messages back; here a filter that no rule covers is refused in SUBACK"
        )
        toml.blank()
        toml.heading("[acl]", from: line)
        toml.entry("default", text: "deny")
        let rules = list.rules(users: names)
        guard !rules.isEmpty else { return }
        toml.heading("rules = [")
        for rule in rules { toml.heading("  \(rule.text),", from: rule.line) }
        toml.heading("]")
    }
}

import BrokerCore
import MQTTCodec

/// `[acl]`: rules of this file, rules of a file of their own, presets.
extension ConfigurationReader {
    mutating func readAccess(_ table: SettingsTable) {
        set(\.access.fallback, table.choice("default", of: AccessRule.Verdict.self))
        set(\.access.deniedPublish, table.choice("on_denied", of: DeniedPublish.self))
        set(\.access.deniedPublishOfVersion3, table.choice("on_denied_v3", of: DeniedPublishOfVersion3.self))
        var rules = table.tables("rules", known: .accessRule).compactMap(accessRule)
        if let file = table.nonEmptyString("file") { rules += accessRules(ofFile: file, table) }
        for (preset, place) in table.choices("presets", of: AccessPreset.self, mayBeEmpty: true) ?? [] {
            if configuration.access.fallback == .allow {
                // Its rules only allow: beside this default they would promise a privacy that nobody has.
                reading.report("a preset needs default = \"deny\"", at: place)
            }
            rules += preset.rules
        }
        if rules.isEmpty, configuration.access.fallback == .deny {
            reading.warn("has no rules: nobody may publish or subscribe", at: table.place)
        }
        configuration.access.rules = rules
    }

    /// A file of rules: `rules = [...]` or `[[rules]]`, nothing else. It is read as a whole or the start fails.
    private func accessRules(ofFile path: String, _ table: SettingsTable) -> [AccessRule] {
        let path = FilePath.resolve(path, besides: table.place.file)
        guard let root = ConfigurationFile.root(of: path, known: .accessFile, reading: reading) else { return [] }
        if !root.has("rules") { reading.warn("the file \(path) has no rules", at: table.place.key("file")) }
        return root.tables("rules", known: .accessRule).compactMap(accessRule)
    }

    private func accessRule(_ table: SettingsTable) -> AccessRule? {
        guard table.has("allow") != table.has("deny") else {
            reading.report(
                table.has("allow")
                    ? "a rule has `allow` or `deny`, not both"
                    : "a rule needs `allow` or `deny`, as in allow = \"publish\"",
                at: table.place
            )
            return nil
        }
        let verdict: AccessRule.Verdict = table.has("allow") ? .allow : .deny
        let actions = table.choice(verdict.rawValue, of: AccessWord.self)?.actions
        // Who is left out is never everybody by accident.
        if !table.has("who") { reading.report("a rule needs `who`, as in who = \"all\"", at: table.place) }
        let who = people(of: table)
        let topics = accessTopics(of: table)
        guard let actions, let who, let topics else { return nil }
        let origin = AccessRule.Origin(file: table.place.file, line: table.place.lines.line(of: table.place.path))
        return AccessRule(verdict, actions, who: who, topics: topics, origin: origin)
    }

    private enum AccessWord: String, CaseIterable {
        case publish, subscribe, both

        var actions: AccessRule.Actions {
            switch self {
            case .publish: .publish
            case .subscribe: .subscribe
            case .both: .both
            }
        }
    }

    /// Whether rules that ask for a user name can ever find one.
    func checkUsers(in roots: [SettingsTable]) {
        guard let rules = configuration.access.rules, configuration.authentication.chain.isEmpty else { return }
        let asksForUsers = rules.contains { rule in
            rule.who.contains { !$0.usernames.isEmpty }
                || rule.topics.contains {
                    if case .pattern(let text) = $0 { text.string.contains("%u") } else { false }
                }
        }
        guard asksForUsers, let root = roots.first(where: { $0.has("acl") }) else { return }
        reading.warn(
            "rules speak of users, but [auth] asks nobody who they are: everybody is anonymous",
            at: root.place.key("acl")
        )
    }

    // MARK: Who

    /// `"all"`, a table, or a list of tables of which one has to fit.
    private func people(of table: SettingsTable) -> [AccessRule.Who]? {
        guard let value = table.values["who"] else { return nil }
        switch value {
        case .string("all"):
            return []
        case .table(let values):
            return person(values, table.place.key("who")).map { [$0] }
        case .array(let elements) where !elements.isEmpty:
            var people: [AccessRule.Who?] = []
            for (index, element) in elements.enumerated() {
                let place = table.place.key("who").element(index)
                if case .table(let values) = element {
                    people.append(person(values, place))
                } else {
                    reading.report("must be a table such as { user = \"alice\" }, found \(element.found)", at: place)
                    people.append(nil)
                }
            }
            let known = people.compactMap(\.self)
            return known.count == people.count ? known : nil
        default:
            table.report("who", "must be \"all\" or a table such as { user = \"alice\" }, found \(value.found)")
            return nil
        }
    }

    private func person(_ values: [String: ConfigurationValue], _ place: Place) -> AccessRule.Who? {
        let table = SettingsTable(values, known: .accessWho, place: place, reading: reading)
        guard !values.isEmpty else {
            reading.report("must name a `user`, a `client` or an `address`; everybody is \"all\"", at: place)
            return nil
        }
        var who = AccessRule.Who()
        var isSound = values.keys.allSatisfy(KnownKeys.accessWho.available.contains)
        func names(_ key: String) -> [MQTTString] {
            guard table.has(key) else { return [] }
            guard let names = table.oneOrMore(key) else {
                isSound = false
                return []
            }
            for (name, place) in names where name.isEmpty {
                reading.report("must not be empty", at: place)
                isSound = false
            }
            return names.map { MQTTString($0.text) }
        }
        who.usernames = names("user")
        who.clientIDs = names("client")
        if table.has("address") {
            guard let ranges = table.oneOrMore("address") else { return nil }
            for (text, place) in ranges {
                guard let range = AddressRange(text) else {
                    reading.report("must be an address or a range such as \"10.0.0.0/8\", found \"\(text)\"", at: place)
                    isSound = false
                    continue
                }
                who.addresses.append(range)
            }
        }
        return isSound ? who : nil
    }

    // MARK: Topics

    private func accessTopics(of table: SettingsTable) -> [AccessRule.Topic]? {
        guard let value = table.values["topics"] else {
            reading.report("a rule needs `topics`, as in topics = [\"user/%u/#\"]", at: table.place)
            return nil
        }
        guard case .array(let elements) = value, !elements.isEmpty else {
            table.report("topics", "must be a list of topics that is not empty, found \(value.found)")
            return nil
        }
        var topics: [AccessRule.Topic] = []
        for (index, element) in elements.enumerated() {
            let place = table.place.key("topics").element(index)
            switch element {
            case .table(let values):
                let literal = SettingsTable(values, known: .accessTopic, place: place, reading: reading)
                guard values.count == 1, let text = literal.nonEmptyString("eq") else {
                    if !literal.has("eq") { reading.report("must be { eq = \"...\" }", at: place) }
                    continue
                }
                if isSound(text, place) { topics.append(.literal(MQTTString(text))) }
            default:
                guard let text = table.expanded(element, at: place) else { continue }
                if isSound(text, place) { topics.append(.pattern(MQTTString(text))) }
            }
        }
        return topics.count == elements.count ? topics : nil
    }

    private func isSound(_ text: String, _ place: Place) -> Bool {
        if text.hasPrefix("$share/") {
            reading.report("a rule is about what is behind $share and the name of the group: leave them out", at: place)
            return false
        }
        guard let problem = FilterText.problem(in: text) else { return true }
        reading.report(problem, at: place)
        return false
    }
}

extension SettingsTable {
    /// One text, or a list of them.
    fileprivate func oneOrMore(_ key: String) -> [(text: String, place: Place)]? {
        if case .array? = values[key] { return strings(key, mayBeEmpty: false) }
        return string(key).map { [($0, place.key(key))] }
    }
}

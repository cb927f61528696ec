import BrokerCore
import MQTTCodec

/// `[[link.out]]`, `[[link.in]]` and `[[link.both]]`.
extension ConfigurationReader {
    func readRules(of table: SettingsTable, into link: inout LinkConfiguration) {
        link.outRules = table.tables("out", known: .rule).compactMap { rule($0, isOutward: true) }
        link.inRules = table.tables("in", known: .rule).compactMap { rule($0, isOutward: false) }
        for both in table.tables("both", known: .bothRule) {
            guard let (out, `in`) = rules(ofBoth: both) else { continue }
            link.outRules.append(out)
            link.inRules.append(`in`)
        }
    }

    /// - Returns: nil where its filter is none; what is wrong with it has been reported in any case.
    private func rule(_ table: SettingsTable, isOutward: Bool) -> LinkRule? {
        guard let text = requiredFilter(of: table) else { return nil }
        guard let filter = filter(text, at: table.place.key("filter")) else { return nil }
        var rule = LinkRule(filter: filter)
        rule.exclude = exclusions(from: text, prefix: "", of: table)
        if let to = table.string("to") {
            do throws(TopicTemplate.Failure) {
                rule.template = try TopicTemplate.parse(
                    to, for: text, node: configuration.node.id, knowsPublishers: isOutward)
            } catch {
                table.report("to", error.message)
            }
            if !isOutward, to.hasPrefix("$") {
                table.report("to", "topics with `$` belong to this node; found `\(to)`")
            }
        }
        readTreatment(of: table, into: &rule)
        return rule
    }

    private func rules(ofBoth table: SettingsTable) -> (out: LinkRule, `in`: LinkRule)? {
        guard let filter = requiredFilter(of: table) else { return nil }
        let local = prefix("local_prefix", of: table)
        let remote = prefix("remote_prefix", of: table)
        guard
            let localFilter = self.filter(local + filter, prefix: local, at: table.place.key("filter")),
            let remoteFilter = local == remote
                ? localFilter : self.filter(remote + filter, prefix: remote, at: table.place.key("filter"))
        else { return nil }
        var out = LinkRule(filter: localFilter)
        readTreatment(of: table, into: &out)
        var `in` = out
        out.stripPrefix = MQTTString(local)
        out.template = TopicTemplate(prefix: MQTTString(remote))
        out.exclude = exclusions(from: local + filter, prefix: local, of: table)
        `in`.filter = remoteFilter
        `in`.stripPrefix = MQTTString(remote)
        `in`.template = TopicTemplate(prefix: MQTTString(local))
        `in`.exclude = out.exclude.compactMap { TopicFilter(remote + $0.text.string.dropFirst(local.count)) }
        return (out, `in`)
    }

    private func requiredFilter(of table: SettingsTable) -> String? {
        if !table.has("filter") {
            reading.report("a rule needs a filter, as in filter = \"sensors/#\"", at: table.place)
        }
        return table.string("filter")
    }

    /// - Parameter prefix: what stands before the filter that was written; with it the whole must be one: "chat" before
    ///   "#" would be "chat#".
    private func filter(_ text: String, prefix: String = "", at place: Place) -> TopicFilter? {
        if let problem = FilterText.problem(in: text) {
            let advice =
                prefix.isEmpty || prefix.hasSuffix("/") ? "" : " (the prefix \"\(prefix)\" does not end with `/`)"
            reading.report(problem + advice, at: place)
            return nil
        }
        let filter = TopicFilter(text)
        if filter == nil { reading.report("is no topic filter, found \"\(text)\"", at: place) }
        return filter
    }

    /// `exclude`: filters, of which each takes something away.
    private func exclusions(from filter: String, prefix: String, of table: SettingsTable) -> [TopicFilter] {
        (table.strings("exclude", mayBeEmpty: true) ?? []).compactMap { text, place in
            guard let exclusion = self.filter(prefix + text, prefix: prefix, at: place) else { return nil }
            if !FilterText.overlap(filter, prefix + text) {
                reading.warn("excludes nothing: no topic of \"\(filter)\" matches \"\(prefix + text)\"", at: place)
            } else if FilterText.covers(prefix + text, filter) {
                reading.warn("excludes everything: \"\(prefix + text)\" matches all of \"\(filter)\"", at: place)
            }
            return exclusion
        }
    }

    private func prefix(_ key: String, of table: SettingsTable) -> String {
        guard let prefix = table.string(key) else { return "" }
        if prefix.contains(where: { $0 == "#" || $0 == "+" || $0 == "\0" }) {
            table.report(key, "a prefix has no wildcards, found \"\(prefix)\"")
            return ""
        }
        return prefix
    }

    // MARK: What becomes of a message

    /// What rules of all kinds may say.
    private func readTreatment(of table: SettingsTable, into rule: inout LinkRule) {
        rule.qosCap = qosCap(of: table)
        rule.retain = table.choice("retain", of: LinkRule.Retain.self) ?? .keep
        if let expiry = table.duration("expiry", in: Self.expiryRange, wholeSeconds: true) {
            rule.expiry = UInt32(clamping: expiry.components.seconds)
        }
        rule.priority = table.integer("priority", in: 0...9) ?? 0
        rule.userProperties = userProperties(of: table)
    }

    private static let expiryRange = Duration.seconds(1)...Duration.seconds(Int64(UInt32.max))

    /// 0, 1, 2 or "keep".
    private func qosCap(of table: SettingsTable) -> QoS? {
        guard let value = table.values["qos"] else { return nil }
        switch value {
        case .integer(let number):
            if let raw = UInt8(exactly: number), let qos = QoS(rawValue: raw) { return qos }
        case .string("keep"):
            return nil
        default:
            break
        }
        table.report("qos", "must be 0, 1, 2 or \"keep\", found \(value.found)")
        return nil
    }

    /// `user_properties = { key = "value" }`, in the order of their names: a table has none of its own.
    private func userProperties(of table: SettingsTable) -> [Properties.UserProperty] {
        guard let value = table.values["user_properties"] else { return [] }
        guard case .table(let values) = value else {
            table.report("user_properties", "must be a table, as in { site = \"shanghai\" }, found \(value.found)")
            return []
        }
        let place = table.place.key("user_properties")
        return values.sorted { $0.key < $1.key }.compactMap { name, value in
            guard let text = table.expanded(value, at: place.key(name)) else { return nil }
            for part in [name, text] where part.utf8.count > 1_024 || part.utf8.contains(0) {
                reading.report("name and value have at most 1024 bytes, and no NUL", at: place.key(name))
                return nil
            }
            return Properties.UserProperty(MQTTString(name), MQTTString(text))
        }
    }
}

import MQTTCodec

/// `[[link.out]]`, `[[link.in]]` and `[[link.both]]`.
extension ConfigurationReader {
    func readRules(of table: SettingsTable, into link: inout LinkConfiguration) {
        link.outRules = table.tables("out", known: .rule).compactMap(rule)
        link.inRules = table.tables("in", known: .rule).compactMap(rule)
        for both in table.tables("both", known: .bothRule) {
            guard let (out, `in`) = rules(ofBoth: both) else { continue }
            link.outRules.append(out)
            link.inRules.append(`in`)
        }
    }

    private func rule(_ table: SettingsTable) -> LinkRule? {
        guard let filter = requiredFilter(of: table) else { return nil }
        var rule = LinkRule(filter: filter)
        if let problem = FilterText.problem(in: filter) { table.report("filter", problem) }
        if let to = table.string("to") {
            do throws(TopicTemplate.Failure) {
                let template = try TopicTemplate.parse(to)
                rule.topicPrefix = template.prefix
                rule.topicSuffix = template.suffix
            } catch {
                table.report("to", error.message)
            }
        }
        rule.qosCap = qosCap(of: table)
        rule.retain = table.choice("retain", of: LinkRule.Retain.self) ?? .keep
        return rule
    }

    private func rules(ofBoth table: SettingsTable) -> (out: LinkRule, `in`: LinkRule)? {
        guard let filter = requiredFilter(of: table) else { return nil }
        let local = prefix("local_prefix", of: table)
        let remote = prefix("remote_prefix", of: table)
        // With a prefix the whole must be a filter: "chat" before "#" would be "chat#".
        for prefix in local == remote ? [local] : [local, remote] {
            guard let problem = FilterText.problem(in: prefix + filter) else { continue }
            let advice =
                prefix.isEmpty || prefix.hasSuffix("/") ? "" : " (the prefix \"\(prefix)\" does not end with `/`)"
            table.report("filter", problem + advice)
            break
        }
        var out = LinkRule(filter: local + filter)
        out.stripPrefix = local
        out.topicPrefix = remote
        out.qosCap = qosCap(of: table)
        var `in` = LinkRule(filter: remote + filter)
        `in`.stripPrefix = remote
        `in`.topicPrefix = local
        `in`.qosCap = out.qosCap
        return (out, `in`)
    }

    private func requiredFilter(of table: SettingsTable) -> String? {
        if !table.has("filter") {
            reading.report("a rule needs a filter, as in filter = \"sensors/#\"", at: table.place)
        }
        return table.string("filter")
    }

    private func prefix(_ key: String, of table: SettingsTable) -> String {
        guard let prefix = table.string(key) else { return "" }
        if prefix.contains(where: { $0 == "#" || $0 == "+" || $0 == "\0" }) {
            table.report(key, "a prefix has no wildcards, found \"\(prefix)\"")
            return ""
        }
        return prefix
    }

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

    // MARK: Loops

    /// The least check against loops: what a 3.1.1 link sends out must not come back over its own subscriptions.
    ///
    /// Version 5 subscribes with No Local, and the bridge bit has the same effect at a broker that knows it. Without
    /// either, an upstream sends our own messages back to us wherever a topic that `out` produces matches a filter of
    /// `in`: a message arrives twice, and where its topic matches `out` again, it is a loop.
    func checkLoops(of link: LinkConfiguration, at place: Place) {
        guard link.hasVersion3, !link.usesBridgeBit else { return }
        for out in link.outRules where !out.filter.isEmpty {
            for `in` in link.inRules where FilterText.overlap(out.targetFilter, `in`.filter) {
                let way = "what goes out from \"\(out.filter)\" comes back in through \"\(`in`.filter)\""
                let result = `in`.targetFilter
                guard link.outRules.contains(where: { FilterText.overlap(result, $0.filter) }) else {
                    reading.warn("\(way) as \"\(result)\": protocol \"3.1.1\" has no No Local", at: place)
                    continue
                }
                reading.report(
                    "\(way) and would go out again: use protocol = 5, or bridge_bit = true if the upstream is mosquitto, "
                        + "or different topics for the two directions",
                    at: place
                )
                return
            }
        }
    }
}

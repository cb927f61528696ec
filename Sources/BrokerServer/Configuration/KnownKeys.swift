/// The keys of one table of the file.
package struct KnownKeys: Sendable {
    /// What this version reads.
    package let available: [String]
    /// What the format has and this version has not: an error of its own kind, so that nobody hunts for a typing error.
    package let later: [String]

    package static let root = KnownKeys(
        available: [
            "node", "log", "durability", "limits", "queue", "subscriptions", "shared_subscriptions", "retained",
            "listener", "auth", "acl", "defaults", "link", "metrics",
        ],
        later: ["autosubscribe", "rewrite", "webhook", "assign"]
    )
    package static let node = KnownKeys(
        available: ["id", "data_dir", "include", "server_reference", "server_moved", "loops"], later: ["user"])
    package static let log = KnownKeys(available: ["level", "format", "denials"], later: [])
    package static let durability = KnownKeys(
        available: ["mode", "on_corrupt", "max_bytes", "min_free_disk", "rule"], later: ["archive"]
    )
    package static let durabilityRule = KnownKeys(available: ["filter", "mode"], later: [])
    package static let limits = KnownKeys(
        available: [
            "max_connections", "max_packet", "receive_maximum", "inflight", "max_connect", "max_awaiting_rel",
            "connect_timeout", "max_clientid", "max_topic", "max_topic_levels", "max_filters", "max_subscriptions",
            "max_qos", "retain_available", "wildcards", "per_address", "max_keep_alive", "check_payload_format",
            "control_characters", "write_buffer", "session_expiry",
        ],
        later: ["retry_interval"]
    )
    /// What a listener may make tighter.
    package static let listenerLimits = KnownKeys(
        available: [
            "max_connections", "max_packet", "receive_maximum", "max_connect", "connect_timeout", "max_clientid",
            "max_topic", "max_topic_levels", "max_filters", "max_subscriptions", "max_qos", "retain_available",
            "wildcards", "per_address", "write_buffer",
        ],
        later: []
    )
    package static let deflate = KnownKeys(available: ["enabled", "max_inflated"], later: [])
    package static let rate = KnownKeys(available: ["bytes", "burst", "messages", "connects"], later: [])
    package static let queue = KnownKeys(
        available: ["max_messages", "max_bytes", "max_age", "on_full", "watermarks"], later: ["store_qos0"]
    )
    package static let watermarks = KnownKeys(available: ["low", "high"], later: [])
    package static let subscriptions = KnownKeys(available: ["overlapping"], later: [])
    package static let sharing = KnownKeys(available: ["order"], later: [])
    package static let retained = KnownKeys(available: ["max_messages", "max_payload"], later: ["ttl"])
    package static let metrics = KnownKeys(available: ["prometheus", "sys_interval", "sys_names"], later: [])
    package static let webOnly = [
        "paths", "subprotocols", "require_subprotocol", "origins", "allow_missing_origin", "deflate", "static",
        "max_body",
    ]
    package static let listener = KnownKeys(
        available: [
            "name", "type", "bind", "tls", "limits", "versions", "rate", "allow", "proxy_protocol", "trusted_proxies",
            "serve",
        ] + webOnly,
        later: [
            "mount", "cookie", "apis", "cors", "idempotency_window", "token_file",
        ]
    )
    package static let listenerTLS = KnownKeys(
        available: ["cert", "key", "client_ca", "client_cert", "username", "min_version", "watch"], later: ["crl"]
    )
    package static let authentication = KnownKeys(
        available: ["chain", "anonymous", "users", "links"], later: ["jwt", "hook"])
    package static let authenticationUsers = KnownKeys(available: ["file"], later: [])
    package static let access = KnownKeys(
        available: ["default", "rules", "file", "presets", "on_denied", "on_denied_v3"], later: []
    )
    package static let accessFile = KnownKeys(available: ["rules"], later: [])
    package static let accessRule = KnownKeys(available: ["allow", "deny", "who", "topics"], later: [])
    package static let accessWho = KnownKeys(available: ["user", "client", "address"], later: [])
    package static let accessTopic = KnownKeys(available: ["eq"], later: [])
    package static let defaults = KnownKeys(available: ["link"], later: [])
    package static let linkDefaults = KnownKeys(
        available: [
            "protocol", "keepalive", "backoff", "ack_timeout", "connect_timeout", "proxy", "probe", "probe_every",
            "loop",
        ],
        later: []
    )
    package static let loop = KnownKeys(available: ["max_hops", "dedup_window"], later: [])
    package static let linkLoop = KnownKeys(available: ["echo_table"], later: [])
    package static let link = KnownKeys(
        available: [
            "name", "addresses", "protocol", "bridge_bit", "client_id", "username", "password", "keepalive",
            "session_expiry", "max_inflight", "backoff", "ack_timeout", "connect_timeout", "prefer", "proxy", "tls",
            "spool", "out", "in", "both", "trust_ids", "probe", "probe_every", "probe_topic", "start", "status",
            "loop", "catchup_rate",
        ],
        later: []
    )
    package static let linkStart = KnownKeys(available: ["window"], later: [])
    package static let linkStatus = KnownKeys(available: ["topic", "local_only", "json"], later: [])
    package static let linkTLS = KnownKeys(
        available: ["ca", "cert", "key", "alpn", "server_name", "verify"], later: ["crl"]
    )
    package static let linkSpool = KnownKeys(
        available: ["max_bytes", "max_messages", "max_age", "on_full", "qos0", "order", "keep_refused"], later: []
    )
    package static let backoff = KnownKeys(available: ["base", "cap", "jitter", "stable"], later: [])
    package static let password = KnownKeys(available: ["file", "env", "command"], later: [])
    package static let rule = KnownKeys(
        available: ["filter", "exclude", "to", "qos", "retain", "expiry", "priority", "user_properties"], later: []
    )
    package static let bothRule = KnownKeys(
        available: [
            "filter", "exclude", "qos", "retain", "local_prefix", "remote_prefix", "expiry", "priority",
            "user_properties",
        ],
        later: []
    )

    /// The tables in which a stray key may belong.
    private static let homes: [(header: String, keys: KnownKeys)] = [
        ("[node]", node), ("[log]", log), ("[limits]", limits), ("[queue]", queue),
        ("`watermarks` of [queue]", watermarks), ("[subscriptions]", subscriptions),
        ("[shared_subscriptions]", sharing), ("[retained]", retained),
        ("[durability]", durability), ("[metrics]", metrics), ("[link.spool]", linkSpool),
        ("[auth]", authentication), ("[auth.users]", authenticationUsers), ("[acl]", access),
        ("a rule of [acl]", accessRule), ("[[listener]]", listener), ("[listener.limits]", listenerLimits),
        ("`rate` of [[listener]]", rate),
        ("`deflate` of [[listener]]", deflate), ("[listener.tls]", listenerTLS),
        ("[[link]]", link), ("[link.tls]", linkTLS), ("[link.status]", linkStatus), ("[defaults.link]", linkDefaults),
        ("[[link.out]] or [[link.in]]", rule), ("[[link.both]]", bothRule),
    ]

    /// - Returns: what to say about `key`, nil when this version reads it here.
    func complaint(about key: String) -> String? {
        if available.contains(key) { return nil }
        if later.contains(key) { return "not available in this version" }
        if let home = Self.homes.first(where: { $0.keys.available.contains(key) }) {
            return "unknown key here (it belongs in \(home.header))"
        }
        if let nearest = EditDistance.nearest(to: key, among: available + later) {
            return "unknown key (did you mean `\(nearest)`?)"
        }
        return "unknown key (known here: \(available.joined(separator: ", ")))"
    }
}

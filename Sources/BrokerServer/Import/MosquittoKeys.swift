/// The words of a mosquitto.conf, up to its version 2.1: to which section each belongs, and what to say about those
/// that have no counterpart here.
enum MosquittoKeys {
    /// They belong to the listener above them.
    static let ofListeners: Set = [
        "accept_protocol_versions", "bind_address", "bind_interface", "cafile", "capath", "certfile", "ciphers",
        "ciphers_tls1.3", "crlfile", "dhparamfile", "disable_client_cert_date_checks", "enable_proxy_protocol",
        "http_dir", "keyfile", "max_connections", "max_qos", "max_topic_alias", "max_topic_alias_broker",
        "mount_point", "port", "protocol", "proxy_protocol_v2_require_tls", "psk_file", "psk_hint",
        "require_certificate", "socket_domain", "tls_engine", "tls_engine_kpass_sha1", "tls_keyform", "tls_version",
        "use_identity_as_username", "use_subject_as_username", "use_username_as_clientid", "websockets_origin",
    ]
    /// With `per_listener_settings` these do as well.
    static let ofSecurity: Set = [
        "acl_file", "allow_anonymous", "allow_zero_length_clientid", "auth_plugin", "auth_plugin_deny_special_chars",
        "auto_id_prefix", "password_file", "plugin",
    ]
    /// They belong to the bridge above them; so does everything that begins with `bridge_`.
    static let ofBridges: Set = [
        "address", "addresses", "cleansession", "clientid", "idle_timeout", "keepalive_interval",
        "local_cleansession", "local_clientid", "local_password", "local_username", "notification_topic",
        "notifications", "notifications_local_only", "password", "remote_clientid", "remote_password",
        "remote_username", "restart_timeout", "round_robin", "start_type", "threshold", "topic", "try_private",
        "username",
    ]

    /// What needs no line here, and why.
    static let notNeeded: [String: String] = [
        "autosave_interval": "every message is stored before it is acknowledged",
        "autosave_on_changes": "every message is stored before it is acknowledged",
        "persistence": "always on",
        "persistence_file": "the spool is in node.data_dir",
        "persistence_location": "the spool is in node.data_dir",
        "pid_file": "the service manager knows the process",
        "user": "the service manager says whose process it is, see docs/systemd",
        "log_dest": "the log goes to standard error, for the journal",
        "log_facility": "the log goes to standard error, for the journal",
        "log_timestamp": "every line has its time",
        "log_timestamp_format": "every line has its time",
        "connection_messages": "they are log lines of level info",
        "websockets_log_level": "there is one level for all, log.level",
        "websockets_headers_size": "there is a fixed bound",
        "set_tcp_nodelay": "always so",
        "max_topic_alias": "up to sixteen, both ways",
        "max_topic_alias_broker": "up to sixteen, both ways",
        "memory_limit": "everything that grows has a bound of its own, see [limits] and [queue]",
        "check_retain_source": "access rules are asked again for each delivery",
        "disable_client_cert_date_checks": "",
        "dhparamfile": "key exchange by elliptic curves",
        "tls_keyform": "keys are PEM",
        "threshold": "only for a lazy bridge",
        "local_clientid": "a link is no client of its own node",
        "local_username": "a link is no client of its own node",
        "local_password": "a link is no client of its own node",
        "local_cleansession": "a link's queue is on disk whatever happens",
        "bridge_attempt_unsubscribe": "what rules no longer want is unsubscribed",
        "bridge_max_topic_alias": "aliases are used as far as the upstream has them",
        "bridge_max_packet_size": "the upstream says what it takes",
        "bridge_reload_type": "a reload restarts the links that changed, and no other",
        "bridge_tcp_keepalive": "the keep-alive of MQTT finds a dead line",
        "bridge_tcp_user_timeout": "ack_timeout finds a dead line",
        "bridge_tls_version": "1.2 or 1.3, as the upstream can",
        "packet_buffer_size": "buffers follow the packets",
        "retry_interval": "sent again after a reconnect, as the standard wants",
        "store_clean_interval": "nothing unused is kept",
    ]

    /// What this version cannot do, and what to do about it.
    static let unsupported: [String: String] = [
        "allow_zero_length_clientid": "clients may always leave their id to the node",
        "auto_id_prefix": "ids that the node gives have a form of their own",
        "auth_plugin_deny_special_chars": "names with wildcards never match %u or %c",
        "bind_interface": "bind to an address of that interface",
        "bridge_bind_address": "the system picks the address that the link dials from",
        "bridge_ciphers": "the cipher suites are fixed",
        "bridge_ciphers_tls1.3": "the cipher suites are fixed",
        "bridge_require_ocsp": "no OCSP; the certificate itself is checked",
        "bridge_tls_keylog": "",
        "ciphers": "the cipher suites are fixed, TLS 1.2 and 1.3 with forward secrecy",
        "ciphers_tls1.3": "the cipher suites are fixed",
        "http_dir": "no files of others are served; static = \"builtin\" shows the chat page",
        "queue_qos0_messages": "QoS 0 is not queued for clients that are away",
        "retain_expiry_interval": "retained messages have no time to live of their own",
        "tls_engine": "",
        "tls_engine_kpass_sha1": "",
        "upgrade_outgoing_qos": "a message is delivered at the lower of both qualities",
        "use_username_as_clientid": "client ids stay what clients say",
        "enable_control_api": "`drawbridge ctl` is for that",
        "proxy_protocol_v2_require_tls": "",
    ]

    /// Where leaving it out changes who may do what.
    static let risky: [String: String] = [
        "auth_plugin": "logins that a plugin decided: make users with `drawbridge passwd`",
        "plugin": "what this plugin did is not done here; if it decided logins, make users with `drawbridge passwd`",
        "global_plugin":
            "what this plugin did is not done here; if it decided logins, make users with `drawbridge passwd`",
        "clientid_prefixes": "clients with any id may connect; say it by rules with who = { client = ... }",
        "crlfile": "certificates that were revoked are let in: use a new authority, or short-lived certificates",
        "mount_point": "clients of this listener see all topics, not only those under the mount point",
        "psk_file": "no pre-shared keys: give those clients certificates or passwords",
        "psk_hint": "no pre-shared keys: give those clients certificates or passwords",
    ]
}

import ArgumentParser
import BrokerServer
import Foundation

/// Whom to call and as whom: what `pub` and `sub` have in common, with the flags of mosquitto's programs.
struct BrokerOptions: ParsableArguments {
    @Option(
        name: [.customShort("L"), .customLong("url")],
        parsing: .unconditional,
        help: ArgumentHelp(
            "Address, login and topic in one.",
            discussion: """
                mqtt://, mqtts://, ws:// or wss://, then [user[:password]@]host[:port][/topic]. Beside -t, what follows \
                the host of a ws or wss address is the path of the WebSocket; it is /mqtt otherwise. In user and \
                password, %40 stands for @.
                """
        )
    )
    var urlOption: String?

    @OptionGroup var endpoint: EndpointOptions

    @Option(
        name: [.customShort("i"), .long], parsing: .unconditional, help: "Client id. (default: the broker's choice)")
    var id: String?

    @Option(
        name: [.customShort("I"), .long], parsing: .unconditional, help: "Make a client id of this and the process id.")
    var idPrefix: String?

    @Option(name: [.customShort("k"), .customLong("keepalive")], help: "Keep-alive in seconds, 5 to 65535.")
    var keepAlive = 60

    @Option(
        name: [.customShort("q"), .customLong("qos")], parsing: .unconditional, help: "Quality of service: 0, 1 or 2.")
    var qos = 0

    @Flag(name: [.customShort("c"), .customLong("disable-clean-session")], help: "Keep the session; needs -i.")
    var keepsSession = false

    @Option(
        name: [.customShort("x"), .long],
        parsing: .unconditional,
        help: "Seconds that a version 5 session outlives its connection; -1: for ever. (default: -1 with -c, else 0)"
    )
    var sessionExpiryInterval: Int?

    @Option(name: [.customShort("V"), .long], help: "mqttv31, mqttv311 or mqttv5; or 31, 311, 5.")
    var protocolVersion = "mqttv311"

    @Flag(name: [.customShort("d"), .long], help: "Print each packet.")
    var debug = false

    @Flag(help: "Print no errors.")
    var quiet = false

    @Flag(help: "TLS with the authorities that this machine trusts.")
    var tlsUseOsCerts = false

    @Option(parsing: .unconditional, help: "Topic of the will.")
    var willTopic: String?

    @Option(parsing: .unconditional, help: "Its message.")
    var willPayload: String?

    @Option(parsing: .unconditional, help: "Its quality of service.")
    var willQos = 0

    @Flag(help: "Retain the will.")
    var willRetain = false

    @Argument(help: "The same as -L.")
    var url: String?
}

extension BrokerOptions {
    /// What was said, for who knows what it means.
    ///
    /// - Throws: that something is too long for a CONNECT, which could not be sent.
    func arguments() throws(UsageProblem) -> ClientArguments {
        let process = ProcessInfo.processInfo.processIdentifier
        try Self.checkLength(endpoint.username, "-u")
        try Self.checkLength(endpoint.password, "-P")
        try Self.checkLength(id, "-i")
        try Self.checkLength(idPrefix.map { "\($0)\(process)" }, "-I, with the process id,")
        try Self.checkLength(willTopic, "--will-topic")
        try Self.checkLength(willPayload, "--will-payload")
        var arguments = ClientArguments()
        endpoint.apply(to: &arguments)
        arguments.urlOption = urlOption
        arguments.url = url
        arguments.id = id
        arguments.idPrefix = idPrefix
        arguments.keepAlive = keepAlive
        arguments.qos = qos
        arguments.keepsSession = keepsSession
        arguments.sessionExpiryInterval = sessionExpiryInterval
        arguments.protocolVersion = protocolVersion
        arguments.debug = debug
        arguments.tlsUseOsCerts = tlsUseOsCerts
        arguments.willTopic = willTopic
        arguments.willPayload = willPayload
        arguments.willQos = willQos
        arguments.willRetain = willRetain
        return arguments
    }

    /// - Throws: that MQTT cannot say a text of this length: it counts the bytes of each in two (§1.5.4).
    static func checkLength(_ text: String?, _ flag: String) throws(UsageProblem) {
        guard let count = text?.utf8.count, count > 65_535 else { return }
        throw UsageProblem("\(flag) has \(count) bytes; MQTT takes at most 65535.")
    }
}

import ArgumentParser
import BrokerServer
import Foundation
import MQTTCodec
import NIOCore

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

    @Option(
        name: [.customShort("h"), .long], parsing: .unconditional, help: "Host of the broker. (default: localhost)")
    var host: String?

    @Option(
        name: [.customShort("p"), .long],
        parsing: .unconditional,
        help: "Port. (default: 1883, with TLS 8883; 80 and 443 for ws and wss)"
    )
    var port: Int?

    @Option(
        name: [.customShort("i"), .long], parsing: .unconditional, help: "Client id. (default: the broker's choice)")
    var id: String?

    @Option(
        name: [.customShort("I"), .long], parsing: .unconditional, help: "Make a client id of this and the process id.")
    var idPrefix: String?

    @Option(name: [.customShort("u"), .long], parsing: .unconditional, help: "User name.")
    var username: String?

    @Option(name: [.customShort("P"), .customLong("pw")], parsing: .unconditional, help: "Password.")
    var password: String?

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

    @Option(parsing: .unconditional, help: "Certificates of the authorities (PEM) that the broker's may be of.")
    var cafile: String?

    @Flag(help: "TLS with the authorities that this machine trusts.")
    var tlsUseOsCerts = false

    @Option(parsing: .unconditional, help: "Our certificate (PEM).")
    var cert: String?

    @Option(parsing: .unconditional, help: "Its private key (PEM).")
    var key: String?

    @Flag(help: "Do not compare the host with the names in the broker's certificate.")
    var insecure = false

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

/// What is wrong with a command line, in the words that its users search for.
struct UsageProblem: Error {
    let text: String

    init(_ text: String) { self.text = text }
}

extension BrokerOptions {
    /// - Parameter hasTopics: whether the command line names topics, so that the path of a WebSocket address is none.
    /// - Returns: how to connect, and the topic of the URL.
    func settings(hasTopics: Bool) throws(UsageProblem) -> (ClientSettings, topic: String?) {
        let (address, url, topic) = try address(hasTopics: hasTopics)
        var tls = LinkTLSConfiguration()
        tls.authorityPath = cafile
        tls.certificatePath = cert
        tls.keyPath = key
        tls.verification = insecure ? .authority : .full
        guard (cert == nil) == (key == nil) else {
            throw UsageProblem("Both certfile and keyfile must be provided if one of them is set.")
        }
        var connect = Connect(version: try version(), clientID: MQTTString(try clientID()))
        connect.cleanStart = !keepsSession
        guard (5...65_535).contains(keepAlive) else {
            throw UsageProblem("Invalid keepalive given, it must be between 5 and 65535 inclusive.")
        }
        connect.keepAlive = UInt16(clamping: keepAlive)
        connect.will = try will()
        if let name = username ?? url?.username { connect.username = MQTTString(name) }
        if let text = password ?? url?.password { connect.password = ByteBuffer(string: text) }
        guard connect.password == nil || connect.username != nil || connect.version == .v5 else {
            // [311:MQTT-3.1.2-22]
            throw UsageProblem("A password needs a user name (-u) before version 5.")
        }
        if connect.version == .v5 { connect.properties.sessionExpiryInterval = try sessionExpiry() }
        var settings = ClientSettings(address: address, tls: tls, connect: connect)
        settings.isTalkative = debug
        return (settings, topic)
    }

    func quality() throws(UsageProblem) -> QoS { try Self.quality(qos) }

    private static func quality(_ number: Int) throws(UsageProblem) -> QoS {
        guard let qos = UInt8(exactly: number).flatMap(QoS.init) else {
            throw UsageProblem("Invalid QoS given: \(number)")
        }
        return qos
    }

    private func address(hasTopics: Bool) throws(UsageProblem) -> (LinkAddress, ClientURL?, topic: String?) {
        if let port, !(1...65_535).contains(port) { throw UsageProblem("Invalid port given: \(port)") }
        let usesTLS = cafile != nil || cert != nil || tlsUseOsCerts
        guard let text = urlOption ?? url else {
            return (LinkAddress(usesTLS ? .mqtts : .mqtt, host: host ?? "localhost", port: port), nil, nil)
        }
        guard urlOption == nil || url == nil else { throw UsageProblem("There are two URLs.") }
        do throws(ClientURL.Invalid) {
            let url = try ClientURL(text)
            let isPath = url.transport.isWebSocket && hasTopics
            // As if it said mqtts: nobody who names an authority wants to go without.
            let transport: LinkAddress.Transport = usesTLS ? url.transport.encrypted : url.transport
            let path = isPath ? url.rest.map { "/" + $0 } : nil
            guard path?.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 }) != false else {
                throw ClientURL.Invalid("the path of a WebSocket is ASCII without spaces and #")
            }
            let address = LinkAddress(transport, host: host ?? url.host, port: port ?? url.port, path: path)
            return (address, url, isPath ? nil : url.rest)
        } catch {
            throw UsageProblem("Invalid URL: \(error).")
        }
    }

    private func version() throws(UsageProblem) -> ProtocolVersion {
        switch protocolVersion {
        case "mqttv31", "31": .v3_1
        case "mqttv311", "311": .v3_1_1
        case "mqttv5", "5": .v5
        default: throw UsageProblem("Invalid protocol version argument given.")
        }
    }

    private func clientID() throws(UsageProblem) -> String {
        let process = ProcessInfo.processInfo.processIdentifier
        if id != nil, idPrefix != nil { throw UsageProblem("-i and -I argument cannot be used together.") }
        if let id = id ?? idPrefix.map({ "\($0)\(process)" }) { return id }
        if keepsSession { throw UsageProblem("You must provide a client id if you are using the -c option.") }
        // 3.1 knows no empty one.
        return try version() == .v3_1 ? "drawbridge_\(process)" : ""
    }

    private func sessionExpiry() throws(UsageProblem) -> UInt32? {
        guard let seconds = sessionExpiryInterval else { return keepsSession ? .max : nil }
        if seconds == -1 { return .max }
        guard let seconds = UInt32(exactly: seconds) else {
            throw UsageProblem("session-expiry-interval out of range.")
        }
        return seconds
    }

    private func will() throws(UsageProblem) -> Connect.Will? {
        guard let willTopic else {
            if willPayload != nil { throw UsageProblem("Will payload given, but no will topic given.") }
            if willRetain { throw UsageProblem("Will retain given, but no will topic given.") }
            return nil
        }
        guard TopicName.isValid(MQTTString(willTopic)) else {
            throw UsageProblem("Invalid will topic '\(willTopic)', does it contain '+' or '#'?")
        }
        return Connect.Will(
            topic: MQTTString(willTopic),
            payload: ByteBuffer(string: willPayload ?? ""),
            qos: try Self.quality(willQos),
            isRetained: willRetain
        )
    }
}

extension LinkAddress.Transport {
    fileprivate var encrypted: Self { isWebSocket ? .wss : .mqtts }
}

import Foundation
import MQTTCodec
import NIOCore

/// What is wrong with a command line, in the words that its users search for.
package struct UsageProblem: Error {
    package let text: String

    package init(_ text: String) { self.text = text }
}

/// Whom to call and as whom, as the flags of `drawbridge pub` and `drawbridge sub` say it. The command line knows no
/// packets, so what its words mean is decided here.
package struct ClientArguments: Sendable {
    package var urlOption: String?
    package var url: String?
    package var host: String?
    package var port: Int?
    package var id: String?
    package var idPrefix: String?
    package var username: String?
    package var password: String?
    package var keepAlive = 60
    package var qos = 0
    package var keepsSession = false
    package var sessionExpiryInterval: Int?
    package var protocolVersion = "mqttv311"
    package var debug = false
    package var cafile: String?
    package var tlsUseOsCerts = false
    package var cert: String?
    package var key: String?
    package var insecure = false
    package var willTopic: String?
    package var willPayload: String?
    package var willQos = 0
    package var willRetain = false

    package init() {}

    /// - Parameter hasTopics: whether the command line names topics, so that the path of a WebSocket address is none.
    /// - Returns: how to connect, and the topic of the URL.
    package func settings(hasTopics: Bool) throws(UsageProblem) -> (ClientSettings, topic: String?) {
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

    private func address(hasTopics: Bool) throws(UsageProblem) -> (LinkAddress, BrokerURL?, topic: String?) {
        if let port, !(1...65_535).contains(port) { throw UsageProblem("Invalid port given: \(port)") }
        let usesTLS = cafile != nil || cert != nil || tlsUseOsCerts
        guard let text = urlOption ?? url else {
            return (LinkAddress(usesTLS ? .mqtts : .mqtt, host: host ?? "localhost", port: port), nil, nil)
        }
        guard urlOption == nil || url == nil else { throw UsageProblem("There are two URLs.") }
        do throws(BrokerURL.Invalid) {
            let url = try BrokerURL(text)
            let isPath = url.transport.isWebSocket && hasTopics
            // As if it said mqtts: nobody who names an authority wants to go without.
            let transport: LinkAddress.Transport = usesTLS ? url.transport.encrypted : url.transport
            let path = isPath && url.topic != nil ? url.path : nil
            if let path, !URLPath.isValid(path, mayHaveQuery: true) {
                throw BrokerURL.Invalid("the path of a WebSocket is ASCII without spaces and #")
            }
            let address = LinkAddress(transport, host: host ?? url.host, port: port ?? url.port, path: path)
            return (address, url, isPath ? nil : url.topic)
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

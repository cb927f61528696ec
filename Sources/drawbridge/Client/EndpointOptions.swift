import ArgumentParser
import BrokerServer

/// Where the broker is, who we are to it, and how TLS makes sure of both: flags that mean the same to `pub`, `sub` and
/// `bench`. Where mosquitto's programs and emqtt_bench call a flag by different names, both names are known.
struct EndpointOptions: ParsableArguments {
    @Option(
        name: [.customShort("h"), .long],
        parsing: .unconditional,
        help: "Host of the broker; of bench several, with commas between, take clients in turn. (default: localhost)"
    )
    var host: String?

    @Option(
        name: [.customShort("p"), .long],
        parsing: .unconditional,
        help: "Port. (default: 1883, with TLS 8883; of WebSocket 80 and 443, with --ws of bench 8083 and 8084)"
    )
    var port: Int?

    @Option(name: [.customShort("u"), .long], parsing: .unconditional, help: "User name.")
    var username: String?

    @Option(name: [.customShort("P"), .customLong("pw"), .long], parsing: .unconditional, help: "Password.")
    var password: String?

    @Option(parsing: .unconditional, help: "Certificates of the authorities (PEM) that the broker's may be of.")
    var cafile: String?

    @Option(name: [.long, .customLong("certfile")], parsing: .unconditional, help: "Our certificate (PEM).")
    var cert: String?

    @Option(name: [.long, .customLong("keyfile")], parsing: .unconditional, help: "Its private key (PEM).")
    var key: String?

    @Flag(help: "Do not compare the host with the names in the broker's certificate.")
    var insecure = false

    func apply(to arguments: inout ClientArguments) {
        arguments.host = host
        arguments.port = port
        arguments.username = username
        arguments.password = password
        arguments.cafile = cafile
        arguments.cert = cert
        arguments.key = key
        arguments.insecure = insecure
    }
}

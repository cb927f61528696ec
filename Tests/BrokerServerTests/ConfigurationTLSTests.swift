import BrokerServer
import Certificates
import Testing

@Suite("The tables [listener.tls] and [link.tls]")
struct ConfigurationTLSTests {
    private let files: [String: String]

    init() throws {
        files = try TestCertificates().texts
    }

    private func listener(_ settings: String) -> String {
        "[[listener]]\nname = \"mqtts\"\n[listener.tls]\n\(settings)\n"
    }

    private let pair = "cert = \"server.crt\"\nkey = \"server.key\"\n"

    @Test("a certificate and a key are enough, and the port is that of MQTT over TLS")
    func least() throws {
        let listeners = try read(listener(pair), files).configuration.listeners
        #expect(listeners[0].tls == ListenerTLSConfiguration(certificatePath: "server.crt", keyPath: "server.key"))
        #expect(listeners[0].addresses == [BindAddress(host: "127.0.0.1", port: 8883)])
        let web = try read("[[listener]]\ntype = \"web\"\n[listener.tls]\n\(pair)", files).configuration.listeners
        #expect(web[0].addresses == [BindAddress(host: "127.0.0.1", port: 8084)])
    }

    @Test("every setting is read, and paths are beside the file")
    func all() throws {
        let text = listener(
            pair
                + "client_ca = \"ca.crt\"\nclient_cert = \"required\"\nusername = \"dn\"\nmin_version = \"1.3\"\nwatch = false"
        )
        let beside = Dictionary(uniqueKeysWithValues: files.map { ("etc/" + $0.key, $0.value) })
        let written = WrittenFiles(texts: beside.merging(["etc/main.toml": text]) { $1 })
        let file = try ConfigurationFile.load(
            path: "etc/main.toml", environment: [:], files: written.files, hostName: "host")
        var expected = ListenerTLSConfiguration(certificatePath: "etc/server.crt", keyPath: "etc/server.key")
        expected.clientAuthorityPath = "etc/ca.crt"
        expected.clientCertificate = .required
        expected.username = .distinguishedName
        expected.minimumVersion = .v1_3
        expected.isWatched = false
        #expect(file.configuration.listeners[0].tls == expected)
        #expect(file.certificates.map(\.owner) == ["listener mqtts"])
        #expect(file.certificates[0].facts.subject == "CN=localhost")
    }

    @Test("what lacks or does not go together is said at its line")
    func combinations() {
        #expect(
            complaints(listener("cert = \"server.crt\""), files) == [
                "drawbridge.toml:3: listener[0].tls: TLS needs `key`; `drawbridge cert init` makes certificates"
            ])
        #expect(
            complaints(listener(pair + "client_cert = \"required\""), files) == [
                "drawbridge.toml:3: listener[0].tls: client_cert = \"required\" needs `client_ca`, the authorities of clients"
            ])
        #expect(
            complaints(listener(pair + "username = \"cn\""), files) == [
                "drawbridge.toml:6: listener[0].tls.username: is only for client_cert = \"optional\" or \"required\""
            ])
        #expect(
            complaints(listener(pair + "min_version = \"1.1\""), files) == [
                "drawbridge.toml:6: listener[0].tls.min_version: must be \"1.2\" or \"1.3\", found \"1.1\""
            ])
        #expect(
            complaints(listener(pair + "ciphers = \"x\""), files).first?.hasPrefix(
                "drawbridge.toml:6: listener[0].tls.ciphers: unknown key") == true)
    }

    @Test("where only certificates count, listeners that ask for none are told that nobody comes in")
    func onlyCertificates() {
        let certificates = pair + "client_ca = \"ca.crt\"\nclient_cert = \"required\"\nusername = \"cn\"\n"
        let text = listener(certificates) + "[[listener]]\nname = \"plain\"\nbind = [\"127.0.0.1:1883\"]\n"
        let said = complaints(text, files)
        #expect(said.count == 1)
        #expect(said.first?.contains("listener[1]: nobody comes in here") == true)
        #expect(complaints(text + "[auth]\nanonymous = true\n", files).isEmpty)
    }

    @Test("a file that cannot be used is named with what is wrong with it")
    func badFiles() throws {
        func complaint(_ changes: [String: String]) -> [String] {
            complaints(listener(pair), files.merging(changes) { $1 })
        }
        var missing = files
        missing["server.crt"] = nil
        #expect(
            complaints(listener(pair), missing) == [
                "drawbridge.toml:4: listener[0].tls.cert: server.crt cannot be read: No such file or directory"
            ])
        #expect(
            complaint(["server.crt": "hello"]) == [
                "drawbridge.toml:4: listener[0].tls.cert: "
                    + "server.crt holds no certificate as PEM (-----BEGIN CERTIFICATE-----)"
            ])
        #expect(
            complaint(["server.key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]) == [
                "drawbridge.toml:5: listener[0].tls.key: server.key holds no private key as PEM (-----BEGIN PRIVATE KEY-----)"
            ])
        #expect(
            complaint(["server.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"])[0].contains("is encrypted"))
        #expect(
            complaint(["server.key": try #require(files["client.key"])]) == [
                "drawbridge.toml:5: listener[0].tls.key: "
                    + "server.key is not the key of the first certificate in server.crt (CN=localhost)"
            ])
        #expect(
            complaint(["server.crt": try #require(files["ca.crt"])])[0].contains(
                "is not the key of the first certificate"))
        let clients = pair + "client_ca = \"ca.crt\"\nclient_cert = \"optional\""
        #expect(
            complaints(listener(clients), files.merging(["ca.crt": ""]) { $1 }) == [
                "drawbridge.toml:6: listener[0].tls.client_ca: "
                    + "ca.crt holds no certificate as PEM (-----BEGIN CERTIFICATE-----)"
            ])
    }

    @Test("a certificate that ends soon, or has ended, is a warning: a node that does not start serves nobody")
    func expiry() throws {
        // A minute more than five days, or the clock might reach four before they are read.
        let soon = try TestCertificates(days: 5, now: TestCertificates.now + 60)
        let warnings = complaints(listener(pair), try soon.texts)
        #expect(warnings.count == 1)
        #expect(warnings[0].hasPrefix("warning: drawbridge.toml:4: listener[0].tls.cert: expires in 5 days, on "))
        let ended = try TestCertificates(days: 5, now: TestCertificates.now - 30 * 86_400)
        #expect(
            complaints(listener(pair), try ended.texts)[0].hasPrefix(
                "warning: drawbridge.toml:4: listener[0].tls.cert: has expired on "))
    }

    @Test("a key that everybody may read is a warning")
    func permissions() throws {
        let texts = files.merging(["drawbridge.toml": listener(pair)]) { $1 }
        let written = WrittenFiles(texts: texts, readableByAll: ["server.key", "server.crt"])
        let file = try ConfigurationFile.load(path: "drawbridge.toml", environment: [:], files: written.files)
        #expect(
            file.warnings.map(\.description) == [
                "drawbridge.toml:5: listener[0].tls.key: server.key can be read by every user: chmod 600"
            ])
    }

    @Test("a name of certificates makes certificates count, unless the file says whom to ask")
    func chain() throws {
        let named = listener(pair + "client_ca = \"ca.crt\"\nclient_cert = \"required\"\nusername = \"cn\"")
        #expect(try read(named, files).configuration.authentication.chain == [.cert])
        #expect(try read("auth.chain = []\n" + named, files).configuration.authentication.chain == [])
        #expect(try read(listener(pair), files).configuration.authentication.chain == [])
        // Then a door may be open to other machines too.
        let open = named.replacing("name = \"mqtts\"", with: "name = \"mqtts\"\nbind = [\"0.0.0.0:8883\"]")
        #expect(complaints(open, files) == [])
    }

    // MARK: Links

    private func link(_ settings: String, address: String = "mqtts://hub") -> String {
        "[[link]]\nname = \"hub\"\naddresses = [\"\(address)\"]\n[[link.out]]\nfilter = \"a\"\n[link.tls]\n\(settings)\n"
    }

    @Test("a link needs no table to trust the authorities of the system")
    func linkDefaults() throws {
        let text = "[[link]]\nname = \"hub\"\naddresses = [\"mqtts://hub\"]\n[[link.out]]\nfilter = \"a\"\n"
        let link = try read(text).configuration.links[0]
        #expect(link.addresses == [LinkAddress(.mqtts, host: "hub", port: 8883)])
        #expect(link.tls == LinkTLSConfiguration())
    }

    @Test("a link shows its own certificate, and knows its upstream")
    func linkSettings() throws {
        let text = link(
            "ca = \"ca.crt\"\ncert = \"client.crt\"\nkey = \"client.key\"\nalpn = [\"mqtt\"]\nserver_name = \"h.example\"\n"
                + "verify = \"ca\"")
        let tls = try read(text, files).configuration.links[0].tls
        var expected = LinkTLSConfiguration()
        expected.authorityPath = "ca.crt"
        expected.certificatePath = "client.crt"
        expected.keyPath = "client.key"
        expected.applicationProtocols = ["mqtt"]
        expected.serverName = "h.example"
        expected.verification = .authority
        #expect(tls == expected)
    }

    @Test("what a link's table gets wrong")
    func linkProblems() {
        #expect(
            complaints(link("cert = \"client.crt\""), files) == [
                "drawbridge.toml:7: link[0].tls.cert: needs `key` beside it"
            ])
        #expect(
            complaints(link("ca = \"nowhere.crt\""), files) == [
                "drawbridge.toml:7: link[0].tls.ca: nowhere.crt cannot be read: No such file or directory"
            ])
        #expect(
            complaints(link("server_name = \"10.0.0.1\""), files) == [
                "drawbridge.toml:7: link[0].tls.server_name: must be a host name, found \"10.0.0.1\""
            ])
        #expect(
            complaints(link("verify = \"none\""), files) == [
                "warning: drawbridge.toml:7: link[0].tls.verify: "
                    + "anybody can pretend to be the upstream: never outside of a test"
            ])
        #expect(
            complaints(link("ca = \"ca.crt\"", address: "mqtt://hub"), files) == [
                "warning: drawbridge.toml:6: link[0].tls: no address of this link uses TLS (mqtts:// or wss://)"
            ])
    }
}

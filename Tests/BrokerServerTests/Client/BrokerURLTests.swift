import BrokerServer
import MQTTCodec
import NIOCore
import Testing

@Suite("The addresses and formats of the client")
struct BrokerURLTests {
    @Test("an address has a login, a host, a port and a topic")
    func whole() throws {
        let url = try BrokerURL("mqtts://ann:p%40ss:w@rd@[::1]:8884/chat/#")
        #expect(url.transport == .mqtts && url.host == "::1" && url.port == 8884)
        #expect(url.username == "ann" && url.password == "p@ss:w@rd" && url.path == "/chat/#" && url.topic == "chat/#")
    }

    @Test("what is not said is nil, and a % that begins nothing stays")
    func parts() throws {
        let url = try BrokerURL("ws://100%@broker.example")
        #expect(url.transport == .ws && url.host == "broker.example" && url.port == nil)
        #expect(url.username == "100%" && url.password == nil && url.path == nil && url.topic == nil)
    }

    @Test(
        "what is no address is refused, without its password",
        arguments: ["http://u:secret@h", "mqtt://u:secret@", "mqtt://u:secret@h:0", "mqtt://u:secret@h:x/t", "h:1883"]
    )
    func invalid(text: String) {
        do throws(BrokerURL.Invalid) {
            _ = try BrokerURL(text)
            Issue.record("\(text) is taken")
        } catch {
            #expect(!error.description.contains("secret"))
        }
    }

    @Test("a format prints what it names")
    func format() throws {
        let publish = Publish(
            topic: "a/b", payload: ByteBuffer(bytes: [0x68, 0xFF]), qos: .atLeastOnce, packetID: 3, isRetained: true)
        let format = try MessageFormat("%t|%x|%l|%q|%r|%m|%%\\t", endsLine: false)
        #expect(format.bytes(of: publish) == Array("a/b|68ff|2|1|1|3|%\t".utf8))
        #expect(try MessageFormat("%p", endsLine: true).bytes(of: publish) == [0x68, 0xFF, 0x0A])
        #expect(throws: MessageFormat.Invalid.self) { try MessageFormat("%!", endsLine: false) }
        #expect(throws: MessageFormat.Invalid.self) { try MessageFormat("100%", endsLine: false) }
    }
}

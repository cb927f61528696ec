import BrokerServer
import Testing

@Suite("The echo table in the configuration")
struct EchoTableTests {
    private static func link(_ more: String) -> String {
        "[[link]]\nname = \"hub\"\naddresses = [\"mqtt://hub\"]\n\(more)\n[[link.both]]\nfilter = \"chat/#\"\n"
    }

    @Test("it takes the place of the refusal where nothing else helps")
    func taken() throws {
        let old = "protocol = \"3.1.1\"\n"
        #expect(complaints(Self.link(old)).count == 1)
        let text = Self.link(old + "loop = { echo_table = true }")
        #expect(complaints(text).isEmpty)
        #expect(try read(text).configuration.links.first?.usesEchoTable == true)
        #expect(complaints(Self.link(old + "loop = { echo_table = false }")).count == 1)
    }

    @Test("it is refused where it cannot work, or something better does")
    func refused() {
        for more in [
            "loop = { echo_table = true }", "protocol = [5]\nloop = { echo_table = true }",
            "protocol = [5, \"3.1.1\"]\nloop = { echo_table = true }",
            "protocol = \"3.1.1\"\nbridge_bit = true\nloop = { echo_table = true }",
            "protocol = \"3.1.1\"\nprobe = \"off\"\nloop = { echo_table = true }",
            "protocol = \"3.1.1\"\nbridge_bit = true\nloop = { max_hops = 3 }",
        ] {
            #expect(complaints(Self.link(more)).contains { $0.contains("loop") }, "\(more)")
        }
    }
}

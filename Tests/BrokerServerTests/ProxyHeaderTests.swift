import BrokerCore
import BrokerServer
import NIOCore
import TestSupport
import Testing

@Suite("PROXY protocol")
struct ProxyHeaderTests {
    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    static func binary(_ command: UInt8, _ family: UInt8, _ body: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = length ?? body.count
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xFF)] + body
    }

    static let four: [UInt8] = [203, 0, 113, 7, 198, 51, 100, 1, 0x15, 0xA8, 0x01, 0xBB]
    static let six: [UInt8] =
        [0x20, 0x01, 0x0D, 0xB8] + Array(repeating: 0, count: 11) + [7] + Array(repeating: 1, count: 16)
        + four.suffix(4)

    enum Verdict: Sendable, Equatable {
        case header(ProxyHeader)
        case malformed
        case waits
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var bytes: [UInt8]
        var verdict: Verdict

        init(_ text: String, _ verdict: Verdict) {
            name = text
            bytes = Array(text.utf8)
            self.verdict = verdict
        }

        init(_ name: String, _ bytes: [UInt8], _ verdict: Verdict) {
            self.name = name
            self.bytes = bytes
            self.verdict = verdict
        }

        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 5544 443\r\n", .header(.client(address: "203.0.113.7", port: 5544))),
        Case("PROXY TCP6 2001:DB8::7 2001:db8::1 1 2\r\n", .header(.client(address: "2001:db8::7", port: 1))),
        Case("PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n", .header(.client(address: "203.0.113.7", port: 1))),
        Case("PROXY UNKNOWN\r\n", .header(.own)),
        Case("PROXY UNKNOWN ffff::1 ffff::2 1 2 whatever\r\n", .header(.own)),
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 5544 443\r", .waits),
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 5544 443\n", .malformed),
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 5544\r\n", .malformed),
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 5544 443 1\r\n", .malformed),
        Case("PROXY  TCP4 203.0.113.7 198.51.100.1 5544 443\r\n", .malformed),
        Case("PROXY TCP4 203.0.113.256 198.51.100.1 5544 443\r\n", .malformed),
        Case("PROXY TCP4 2001:db8::7 198.51.100.1 5544 443\r\n", .malformed),
        Case("PROXY TCP6 203.0.113.7 198.51.100.1 5544 443\r\n", .malformed),
        Case("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", .malformed),
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 65536 443\r\n", .malformed),
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 -1 443\r\n", .malformed),
        Case("PROXY TCP4 203.0.113.7 198.51.100.1 01 443\r\n", .malformed),
        Case("PROXY UDP4 203.0.113.7 198.51.100.1 1 443\r\n", .malformed),
        Case("PROXY\r\n", .malformed),
        Case("PUT / HTTP/1.1\r\n", .malformed),
        Case("PROXY " + String(repeating: "x", count: 101), .malformed),
        Case("PROXY " + String(repeating: "x", count: 100), .waits),
        Case("a CONNECT of MQTT", [0x10, 0x0C], .malformed),
        Case("binary, IPv4", binary(0x21, 0x11, four), .header(.client(address: "203.0.113.7", port: 5544))),
        Case("binary, IPv6", binary(0x21, 0x21, six), .header(.client(address: "2001:db8::7", port: 5544))),
        Case(
            "binary with further fields",
            binary(0x21, 0x11, four + [0x04, 0, 1, 0]),
            .header(.client(address: "203.0.113.7", port: 5544))
        ),
        Case("binary, Unix", binary(0x21, 0x31, Array(repeating: 0, count: 216)), .header(.unaddressed)),
        Case("binary, unknown family", binary(0x21, 0x00, []), .header(.own)),
        Case("binary, LOCAL", binary(0x20, 0x00, []), .header(.own)),
        Case("binary, LOCAL with addresses", binary(0x20, 0x11, four), .header(.own)),
        Case("binary, cut", Array(binary(0x21, 0x11, four).dropLast()), .waits),
        Case("binary, too short for IPv4", binary(0x21, 0x11, Array(four.dropLast())), .malformed),
        Case("binary, too short for IPv6", binary(0x21, 0x21, four), .malformed),
        Case("binary, too short for Unix", binary(0x21, 0x31, four), .malformed),
        Case("binary, datagrams", binary(0x21, 0x12, four), .malformed),
        Case("binary, command 2", binary(0x22, 0x11, four), .malformed),
        Case("binary, version 1", binary(0x11, 0x11, four), .malformed),
        Case("binary, 4,097 bytes", binary(0x21, 0x11, four, length: 4_097), .malformed),
        Case("binary, another signature", Array(signature.dropLast()) + [0x0B, 0x21], .malformed),
    ]

    private func take(_ bytes: [UInt8], _ version: ProxyHeader.Version = .any) -> (Verdict, [UInt8]) {
        var buffer = ByteBuffer(bytes: bytes)
        do throws(ProxyHeader.Malformed) {
            guard let header = try ProxyHeader.take(from: &buffer, version) else {
                return (.waits, Array(buffer.readableBytesView))
            }
            return (.header(header), Array(buffer.readableBytesView))
        } catch {
            return (.malformed, [])
        }
    }

    @Test("headers and verdicts, and what follows is left alone", arguments: cases)
    func verdict(_ test: Case) {
        let (verdict, rest) = take(test.bytes)
        #expect(verdict == test.verdict)
        if case .header = verdict {
            #expect(rest.isEmpty)
            #expect(take(test.bytes + [0x10, 0x0D]).1 == [0x10, 0x0D])
        }
    }

    @Test("a header that is cut anywhere waits for the rest", arguments: cases.filter { $0.verdict != .malformed })
    func cuts(_ test: Case) {
        for count in 0..<test.bytes.count {
            #expect(take(Array(test.bytes.prefix(count))).0 == .waits, "\(count) bytes")
        }
    }

    @Test("a listener that expects one version takes no other")
    func versions() {
        let text = Array("PROXY UNKNOWN\r\n".utf8)
        #expect(take(text, .v1).0 == .header(.own))
        #expect(take(text, .v2).0 == .malformed)
        #expect(take(Self.binary(0x20, 0, []), .v2).0 == .header(.own))
        #expect(take(Self.binary(0x20, 0, []), .v1).0 == .malformed)
    }

    @Test("random bytes never trap")
    func random() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<5_000 {
            var bytes = Self.cases.randomElement(using: &generator)?.bytes ?? []
            for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            _ = take(bytes)
        }
    }
}

import Foundation
import SwiftASN1
import X509

/// A host as a certificate names it: clients compare names with names and addresses with addresses, never one with
/// the other.
package struct CertificateHost: Sendable, Equatable {
    package struct Invalid: Error, CustomStringConvertible {
        package let text: String
        package var description: String {
            "\"\(text)\" is neither an address nor a host name of letters, digits, `-` and `.`"
        }
    }

    private enum Kind: Equatable {
        case address([UInt8])
        case name(String)
    }

    private let kind: Kind

    /// - Parameter text: an address, or a DNS name; `*.example.com` is one too.
    package init(_ text: String) throws(Invalid) {
        if let bytes = Self.addressBytes(text) {
            kind = .address(bytes)
        } else if Self.isName(text) {
            kind = .name(text.lowercased())
        } else {
            throw Invalid(text: text)
        }
    }

    package var isAddress: Bool {
        if case .address = kind { true } else { false }
    }

    var generalName: GeneralName {
        switch kind {
        case .address(let bytes): .ipAddress(ASN1OctetString(contentBytes: bytes[...]))
        case .name(let name): .dnsName(name)
        }
    }

    /// Whether a certificate's alternative names name this host (RFC 9525 §6): a name by a name, of which the first label
    /// may be a `*`, and an address by an address.
    ///
    /// - Returns: nil when the certificate has no alternative names at all, or cannot be read.
    package func isNamed(in der: [UInt8]) -> Bool? {
        do {
            guard let names = try Certificate(derEncoded: der).extensions.subjectAlternativeNames, !names.isEmpty else {
                return nil
            }
            return names.contains(where: isNamed)
        } catch {
            return nil
        }
    }

    private func isNamed(by name: GeneralName) -> Bool {
        switch (kind, name) {
        case (.address(let bytes), .ipAddress(let own)): return bytes[...] == own.bytes
        case (.name(let host), .dnsName(let pattern)):
            let pattern = pattern.lowercased()
            guard pattern.hasPrefix("*."), let dot = host.firstIndex(of: ".") else { return pattern == host }
            // A `*` stands for one label, and never for all names right below a top level domain.
            return host[dot...] == pattern.dropFirst() && pattern.dropFirst(2).contains(".")
        default: return false
        }
    }

    /// Four bytes, or sixteen; in network order.
    private static func addressBytes(_ text: String) -> [UInt8]? {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: &v4) { Array($0) } }
        var v6 = in6_addr()
        if inet_pton(AF_INET6, text, &v6) == 1 { return withUnsafeBytes(of: &v6) { Array($0) } }
        return nil
    }

    /// Labels of 1 to 63 letters, digits, `-` and `_`; 253 characters in all (RFC 1035 §2.3.4).
    private static func isName(_ text: String) -> Bool {
        let name = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        return name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                    && label.utf8.allSatisfy(isNameByte)
            }
            // Four numbers that are no address are a slip, not a name.
            && !labels.allSatisfy { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}

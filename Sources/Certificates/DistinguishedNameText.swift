import SwiftASN1
import X509

/// Subjects as text in the form of RFC 2253, with the names of attributes and the escapes that OpenSSL prints, since
/// that is what operators copy into their rules: `openssl x509 -noout -subject -nameopt RFC2253`.
enum DistinguishedNameText {
    private static let names: [ASN1ObjectIdentifier: String] = [
        [2, 5, 4, 3]: "CN", [2, 5, 4, 4]: "SN", [2, 5, 4, 5]: "serialNumber", [2, 5, 4, 6]: "C", [2, 5, 4, 7]: "L",
        [2, 5, 4, 8]: "ST", [2, 5, 4, 9]: "street", [2, 5, 4, 10]: "O", [2, 5, 4, 11]: "OU", [2, 5, 4, 12]: "title",
        [2, 5, 4, 13]: "description", [2, 5, 4, 15]: "businessCategory", [2, 5, 4, 17]: "postalCode",
        [2, 5, 4, 41]: "name", [2, 5, 4, 42]: "GN", [2, 5, 4, 43]: "initials", [2, 5, 4, 44]: "generationQualifier",
        [2, 5, 4, 46]: "dnQualifier", [2, 5, 4, 65]: "pseudonym", [2, 5, 4, 97]: "organizationIdentifier",
        [0, 9, 2342, 19_200_300, 100, 1, 1]: "UID", [0, 9, 2342, 19_200_300, 100, 1, 25]: "DC",
        [1, 2, 840, 113549, 1, 9, 1]: "emailAddress", [1, 2, 840, 113549, 1, 9, 2]: "unstructuredName",
    ]

    /// The most specific part first.
    static func text(_ name: DistinguishedName) -> String {
        name.reversed().map { part in
            // Within a part OpenSSL goes backward too.
            part.reversed().map(text).joined(separator: "+")
        }.joined(separator: ",")
    }

    private static func text(_ attribute: RelativeDistinguishedName.Attribute) -> String {
        guard let known = names[attribute.type], let value = string(attribute.value) else {
            return "\(names[attribute.type] ?? attribute.type.description)=#" + hexadecimal(attribute.value)
        }
        return known + "=" + escaped(value)
    }

    /// The value as text; nil when it is of a kind that is not text.
    static func string(_ value: RelativeDistinguishedName.Attribute.Value) -> String? {
        if let text = String(value) { return text }
        return otherString(ASN1Any(value))
    }

    /// The older kinds of text that X.520 allows beside UTF8String, PrintableString and IA5String.
    private static func otherString(_ value: ASN1Any) -> String? {
        do {
            var writer = DER.Serializer()
            try writer.serialize(value)
            let node = try DER.parse(writer.serializedBytes)
            switch node.identifier {
            case .teletexString:
                return String(
                    String.UnicodeScalarView(try ASN1TeletexString(derEncoded: node).bytes.map(Unicode.Scalar.init)))
            case .bmpString:
                let bytes = Array(try ASN1BMPString(derEncoded: node).bytes)
                guard bytes.count.isMultiple(of: 2) else { return nil }
                let units = stride(from: 0, to: bytes.count, by: 2).map {
                    UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])
                }
                return String(validating: units, as: UTF16.self)
            default:
                return nil
            }
        } catch {
            return nil
        }
    }

    private static func escaped(_ value: String) -> String {
        var text = ""
        let last = value.utf8.count - 1
        for (index, byte) in value.utf8.enumerated() {
            switch byte {
            case UInt8(ascii: ","), UInt8(ascii: "+"), UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "<"),
                UInt8(ascii: ">"), UInt8(ascii: ";"):
                text += "\\" + String(UnicodeScalar(byte))
            case UInt8(ascii: "#") where index == 0, UInt8(ascii: " ") where index == 0 || index == last:
                text += "\\" + String(UnicodeScalar(byte))
            case 0..<0x20, 0x7F...0xFF:
                text += "\\" + hexadecimal(byte)
            default:
                text += String(UnicodeScalar(byte))
            }
        }
        return text
    }

    private static func hexadecimal(_ value: RelativeDistinguishedName.Attribute.Value) -> String {
        do {
            var writer = DER.Serializer()
            try writer.serialize(ASN1Any(value))
            return writer.serializedBytes.map(hexadecimal).joined()
        } catch {
            return ""
        }
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        let digits = Array("0123456789ABCDEF")
        return String([digits[Int(byte >> 4)], digits[Int(byte & 0xF)]])
    }
}

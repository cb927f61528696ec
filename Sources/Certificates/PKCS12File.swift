import Crypto
import CryptoExtras
import Foundation
import SwiftASN1

/// Writes a certificate and its key as one PKCS#12 file (RFC 7292), which is what browsers and phones import.
///
/// The smallest form that OpenSSL 3, NSS, Windows and Apple's systems of today read: certificates in the clear, the key
/// under PBES2 (PBKDF2 with HMAC-SHA-256, AES-256-CBC), and a MAC of SHA-256 over all. Nothing else that we depend on
/// writes such files.
package enum PKCS12File {
    /// A password in PKCS#12 is a string of 16-bit characters.
    package static let passwordCharactersMax = 128
    /// Both are paid once, at import; whoever guesses pays them at every guess.
    private static let keyRounds = 210_000
    private static let macRounds = 50_000

    /// - Parameters:
    ///   - pair: the certificate with its key.
    ///   - authority: the certificate above it.
    ///   - name: shown in the list of certificates.
    ///   - password: not empty; many programs refuse a file without.
    /// - Returns: the file's bytes.
    package static func bytes(
        _ pair: CertificatePair,
        authority: CertificatePair,
        name: String,
        password: String
    ) throws -> [UInt8] {
        let certificate = try der { try $0.serialize(pair.certificate) }
        // Tells which certificate the key belongs to; any bytes that both bags share do.
        let keyID = Array(SHA256.hash(data: certificate).prefix(20))
        let certificates = try der { writer in
            try writer.sequence {
                try certificateBag(certificate, attributes(name: name, keyID: keyID), &$0)
                let authorityCertificate = try der { try $0.serialize(authority.certificate) }
                try certificateBag(authorityCertificate, [], &$0)
            }
        }
        let keys = try der { writer in
            try writer.sequence { writer in
                try writer.sequence {
                    try $0.serialize(OID.shroudedKeyBag)
                    try $0.explicit0 { try encryptedKey(pair.key.derRepresentation, password, &$0) }
                    try $0.serializeSetOf(try attributes(name: name, keyID: keyID))
                }
            }
        }
        let safe = try der { writer in
            try writer.sequence {
                try contentInfo(certificates, &$0)
                try contentInfo(keys, &$0)
            }
        }
        return try der { writer in
            try writer.sequence {
                try $0.serialize(3)
                try contentInfo(safe, &$0)
                try mac(of: safe, password, &$0)
            }
        }
    }

    // MARK: - Parts

    private static func contentInfo(_ content: [UInt8], _ writer: inout DER.Serializer) throws {
        try writer.sequence {
            try $0.serialize(OID.data)
            try $0.explicit0 { try $0.octets(content) }
        }
    }

    private static func certificateBag(
        _ certificate: [UInt8],
        _ attributes: [ASN1Any],
        _ writer: inout DER.Serializer
    ) throws {
        try writer.sequence {
            try $0.serialize(OID.certificateBag)
            try $0.explicit0 {
                try $0.sequence {
                    try $0.serialize(OID.x509Certificate)
                    try $0.explicit0 { try $0.octets(certificate) }
                }
            }
            if !attributes.isEmpty { try $0.serializeSetOf(attributes) }
        }
    }

    private static func attributes(name: String, keyID: [UInt8]) throws -> [ASN1Any] {
        let friendlyName = try der { writer in
            try writer.sequence {
                try $0.serialize(OID.friendlyName)
                try $0.serializeSetOf([ASN1BMPString(contentBytes: utf16(name)[...])])
            }
        }
        let localKeyID = try der { writer in
            try writer.sequence {
                try $0.serialize(OID.localKeyID)
                try $0.serializeSetOf([ASN1OctetString(contentBytes: keyID[...])])
            }
        }
        return [try ASN1Any(derEncoded: friendlyName), try ASN1Any(derEncoded: localKeyID)]
    }

    /// The key under PBES2 (RFC 8018 §6.2, appendix A.4).
    private static func encryptedKey(_ key: Data, _ password: String, _ writer: inout DER.Serializer) throws {
        let salt = randomBytes(16)
        let iv = randomBytes(16)
        let encryptionKey = try KDF.Insecure.PBKDF2.deriveKey(
            from: Array(password.utf8),
            salt: salt,
            using: .sha256,
            outputByteCount: 32,
            rounds: keyRounds
        )
        let encrypted = try AES._CBC.encrypt(key, using: encryptionKey, iv: AES._CBC.IV(ivBytes: iv))
        try writer.sequence {
            try $0.sequence {
                try $0.serialize(OID.pbes2)
                try $0.sequence {
                    try $0.sequence {
                        try $0.serialize(OID.pbkdf2)
                        try $0.sequence {
                            try $0.octets(salt)
                            try $0.serialize(keyRounds)
                            try $0.algorithm(OID.hmacWithSHA256)
                        }
                    }
                    try $0.sequence {
                        try $0.serialize(OID.aes256CBC)
                        try $0.octets(iv)
                    }
                }
            }
            try $0.octets(encrypted)
        }
    }

    private static func mac(of content: [UInt8], _ password: String, _ writer: inout DER.Serializer) throws {
        let salt = randomBytes(16)
        let key = macKey(password: password, salt: salt)
        let code = HMAC<SHA256>.authenticationCode(for: content, using: SymmetricKey(data: key))
        try writer.sequence {
            try $0.sequence {
                try $0.algorithm(OID.sha256)
                try $0.octets(code)
            }
            try $0.octets(salt)
            try $0.serialize(macRounds)
        }
    }

    /// PKCS#12's own derivation (RFC 7292, appendix B.2) for the one case that is needed: purpose 3 (MAC), SHA-256, 32
    /// bytes, which is one block of the hash.
    private static func macKey(password: String, salt: [UInt8]) -> [UInt8] {
        let block = 64
        let purpose = [UInt8](repeating: 3, count: block)
        var hash = Array(
            SHA256.hash(data: purpose + filled(salt, block) + filled(utf16(password) + [0, 0], block))
        )
        for _ in 1..<macRounds { hash = Array(SHA256.hash(data: hash)) }
        return hash
    }

    /// `bytes` again and again until a multiple of `block` is full.
    private static func filled(_ bytes: [UInt8], _ block: Int) -> [UInt8] {
        let count = (bytes.count + block - 1) / block * block
        return (0..<count).map { bytes[$0 % bytes.count] }
    }

    /// Big endian, as a BMPString is.
    private static func utf16(_ text: String) -> [UInt8] {
        text.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    }

    private static func randomBytes(_ count: Int) -> [UInt8] {
        SymmetricKey(size: SymmetricKeySize(bitCount: count * 8)).withUnsafeBytes { Array($0) }
    }

    private static func der(_ write: (inout DER.Serializer) throws -> Void) throws -> [UInt8] {
        var writer = DER.Serializer()
        try write(&writer)
        return writer.serializedBytes
    }

    private enum OID {
        static let data: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 7, 1]
        static let certificateBag: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 12, 10, 1, 3]
        static let shroudedKeyBag: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 12, 10, 1, 2]
        static let x509Certificate: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 9, 22, 1]
        static let friendlyName: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 9, 20]
        static let localKeyID: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 9, 21]
        static let pbes2: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 5, 13]
        static let pbkdf2: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 5, 12]
        static let hmacWithSHA256: ASN1ObjectIdentifier = [1, 2, 840, 113549, 2, 9]
        static let aes256CBC: ASN1ObjectIdentifier = [2, 16, 840, 1, 101, 3, 4, 1, 42]
        static let sha256: ASN1ObjectIdentifier = [2, 16, 840, 1, 101, 3, 4, 2, 1]
    }
}

extension DER.Serializer {
    fileprivate mutating func sequence(_ write: (inout DER.Serializer) throws -> Void) throws {
        try appendConstructedNode(identifier: .sequence, write)
    }

    fileprivate mutating func explicit0(_ write: (inout DER.Serializer) throws -> Void) throws {
        try serialize(explicitlyTaggedWithTagNumber: 0, tagClass: .contextSpecific, write)
    }

    fileprivate mutating func octets(_ bytes: some Sequence<UInt8>) throws {
        try serialize(ASN1OctetString(contentBytes: Array(bytes)[...]))
    }

    fileprivate mutating func algorithm(_ identifier: ASN1ObjectIdentifier) throws {
        try sequence {
            try $0.serialize(identifier)
            try $0.serialize(ASN1Null())
        }
    }
}

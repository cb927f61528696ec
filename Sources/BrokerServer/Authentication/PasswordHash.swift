import Crypto
import CryptoExtras
import Foundation

/// How a password is kept: a method with its cost, a salt, and what the method makes of both.
///
/// | text | method |
/// |---|---|
/// | `$scrypt$ln=14,r=8,p=1$salt$digest` | scrypt (RFC 7914), what `drawbridge passwd` writes |
/// | `$7$rounds$salt$digest` | PBKDF2 with HMAC-SHA-512, mosquitto_passwd since 2.0 |
/// | `$6$salt$digest` | one round of SHA-512 over password and salt, mosquitto_passwd before |
/// | `$scram-sha-256$iterations$salt$stored$server` | the two keys of SCRAM-SHA-256 (RFC 5802), `passwd --scram` |
///
/// Salt and digest are Base64; the first form leaves the padding out, as password hashes of this shape do elsewhere.
package struct PasswordHash: Sendable, Equatable {
    package enum Method: Sendable, Hashable {
        /// `logRounds` is the binary logarithm of scrypt's N.
        case scrypt(logRounds: Int, blockSize: Int, parallelism: Int)
        case pbkdf2(rounds: Int)
        case sha512
        /// The digest is the StoredKey.
        case scram(iterations: Int)
    }

    package let method: Method
    let salt: [UInt8]
    let digest: [UInt8]
    /// Of SCRAM; empty for the others.
    var serverKey: [UInt8] = []

    /// 16 MiB and some 40 ms of one core: a guess is dear, and a site whose 500 devices return at once after a power
    /// cut is in again within half a minute; those that wait longer than a CONNECT may are told to come again.
    package static let cost = Method.scrypt(logRounds: 14, blockSize: 8, parallelism: 1)

    /// A longer password is nobody's: those that wait to be hashed must not fill the memory.
    package static let passwordBytesMax = 4096

    /// For users who prove their password by SCRAM. Their clients do this work too, with each login, and they may be
    /// small; RFC 7677 asks for at least 4,096.
    package static let scramCost = Method.scram(iterations: scramIterations)
    static let scramIterations = 16_384

    static let saltBytes = 16
    private static let digestBytes = 32

    /// Hashes a new password with fresh salt.
    ///
    /// - Throws: what the library says; in practice that there is no memory.
    package init(password: [UInt8], method: Method = Self.cost) throws {
        self.method = method
        salt = Array(Self.random(Self.saltBytes))
        if case .scram(let iterations) = method {
            let keys = SCRAMCredentials.keys(of: try Self.salted(password, salt, iterations))
            (digest, serverKey) = (keys.stored, keys.server)
        } else {
            digest = try Self.digest(of: password, salt, method, bytes: Self.digestBytes)
        }
    }

    /// Bytes that nobody can foretell.
    static func random(_ count: Int) -> Data {
        var generator = SystemRandomNumberGenerator()
        return Data((0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }

    /// Something to compare the password of an unknown user with: costs the same and fits nothing.
    init(standInFor method: Method) {
        self.method = method
        salt = [UInt8](repeating: 0, count: Self.saltBytes)
        digest = [UInt8](repeating: 0, count: method == .sha512 ? SHA512.byteCount : Self.digestBytes)
    }

    /// Whether this is the password. The time it takes does not depend on how much of it is right.
    ///
    /// - Complexity: some tens of milliseconds; never on an event loop.
    package func matches(_ password: [UInt8]) -> Bool {
        do {
            return Self.areEqual(try Self.digest(of: password, salt, method, bytes: digest.count), digest)
        } catch {
            // No memory: nobody can be let in without being asked.
            return false
        }
    }

    private static func digest(of password: [UInt8], _ salt: [UInt8], _ method: Method, bytes: Int) throws -> [UInt8] {
        switch method {
        case .scrypt(let logRounds, let blockSize, let parallelism):
            try KDF.Scrypt.deriveKey(
                from: password,
                salt: salt,
                outputByteCount: bytes,
                rounds: 1 << logRounds,
                blockSize: blockSize,
                parallelism: parallelism
            ).bytes
        case .pbkdf2(let rounds):
            // mosquitto_passwd's own count is far below what the library calls safe; these files exist.
            try KDF.Insecure.PBKDF2.deriveKey(
                from: password,
                salt: salt,
                using: .sha512,
                outputByteCount: bytes,
                unsafeUncheckedRounds: rounds
            ).bytes
        case .sha512:
            Array(SHA512.hash(data: password + salt))
        case .scram(let iterations):
            SCRAMCredentials.keys(of: try salted(password, salt, iterations)).stored
        }
    }

    package static func salted(_ password: [UInt8], _ salt: [UInt8], _ iterations: Int) throws -> [UInt8] {
        try KDF.Insecure.PBKDF2.deriveKey(
            from: password,
            salt: salt,
            using: .sha256,
            outputByteCount: digestBytes,
            unsafeUncheckedRounds: iterations
        ).bytes
    }

    /// What SCRAM needs to know; nil for the other methods.
    package var scram: SCRAMCredentials? {
        guard case .scram(let iterations) = method else { return nil }
        return SCRAMCredentials(salt: salt, iterations: iterations, storedKey: digest, serverKey: serverKey)
    }

    static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for (x, y) in zip(a, b) { difference |= x ^ y }
        return difference == 0
    }
}

extension SymmetricKey {
    fileprivate var bytes: [UInt8] { withUnsafeBytes { Array($0) } }
}

// MARK: - As text

extension PasswordHash {
    /// Why a text is no hash. Never shows the text: it may be a password that somebody forgot to hash.
    package struct Problem: Error, Equatable {
        package var message: String
    }

    /// Reads what stands behind `user:` in a file.
    package init(_ text: Substring) throws(Problem) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count > 1, parts[0].isEmpty else {
            throw Problem(message: "the password is not hashed: set it again with `drawbridge passwd`")
        }
        switch (parts[1], parts.count) {
        case ("scrypt", 5):
            method = try Self.scryptMethod(parts[2])
            salt = try Self.bytes(parts[3], "salt")
            digest = try Self.bytes(parts[4], "digest")
        case ("7", 5):
            guard let rounds = Int(parts[2]), (1...10_000_000).contains(rounds) else {
                throw Problem(message: "the number of rounds must be 1 to 10000000")
            }
            method = .pbkdf2(rounds: rounds)
            salt = try Self.bytes(parts[3], "salt")
            digest = try Self.bytes(parts[4], "digest")
        case ("6", 4):
            method = .sha512
            salt = try Self.bytes(parts[2], "salt")
            digest = try Self.bytes(parts[3], "digest")
            guard digest.count == SHA512.byteCount else { throw Problem(message: "the digest must have 64 bytes") }
        case ("scram-sha-256", 6):
            guard let iterations = Int(parts[2]), (4_096...1_000_000).contains(iterations) else {
                throw Problem(message: "the number of iterations must be 4096 to 1000000")
            }
            method = .scram(iterations: iterations)
            salt = try Self.bytes(parts[3], "salt")
            digest = try Self.bytes(parts[4], "stored key")
            serverKey = try Self.bytes(parts[5], "server key")
            guard digest.count == SHA256.byteCount, serverKey.count == SHA256.byteCount else {
                throw Problem(message: "the keys must have 32 bytes each")
            }
        case ("scrypt", _), ("6", _), ("7", _), ("scram-sha-256", _):
            throw Problem(message: "the password hash is cut short or has too many parts")
        default:
            throw Problem(
                message: "this kind of password hash is not known: set the password again with `drawbridge passwd`")
        }
        guard !salt.isEmpty, (16...64).contains(digest.count) else {
            throw Problem(message: "the password hash must have a salt, and 16 to 64 bytes of digest")
        }
    }

    /// Bounds keep a line of a file from taking the memory of the machine.
    private static func scryptMethod(_ text: Substring) throws(Problem) -> Method {
        var numbers: [Substring: Int] = [:]
        for pair in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = pair.split(separator: "=", omittingEmptySubsequences: false)
            if sides.count == 2, let number = Int(sides[1]) { numbers[sides[0]] = number }
        }
        guard numbers.count == 3, let logRounds = numbers["ln"], let blockSize = numbers["r"],
            let parallelism = numbers["p"], (1...20).contains(logRounds), (1...32).contains(blockSize),
            (1...16).contains(parallelism), 128 * blockSize << logRounds <= 256 << 20
        else {
            throw Problem(message: "scrypt needs ln=1 to 20, r=1 to 32, p=1 to 16, and at most 256 MiB")
        }
        return .scrypt(logRounds: logRounds, blockSize: blockSize, parallelism: parallelism)
    }

    private static func bytes(_ text: Substring, _ part: String) throws(Problem) -> [UInt8] {
        let padding = String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        guard text.utf8.count <= 1024, let data = Data(base64Encoded: text + padding) else {
            throw Problem(message: "the \(part) of the password hash is not Base64")
        }
        return Array(data)
    }

    /// What is written to a file.
    package var text: String {
        switch method {
        case .scrypt(let logRounds, let blockSize, let parallelism):
            "$scrypt$ln=\(logRounds),r=\(blockSize),p=\(parallelism)$\(unpadded(salt))$\(unpadded(digest))"
        case .pbkdf2(let rounds): "$7$\(rounds)$\(padded(salt))$\(padded(digest))"
        case .sha512: "$6$\(padded(salt))$\(padded(digest))"
        case .scram(let iterations):
            "$scram-sha-256$\(iterations)$\(padded(salt))$\(padded(digest))$\(padded(serverKey))"
        }
    }

    private func padded(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
    private func unpadded(_ bytes: [UInt8]) -> String { String(padded(bytes).prefix { $0 != "=" }) }
}

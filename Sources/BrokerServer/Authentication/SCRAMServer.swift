import Crypto
import Foundation

/// The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): a client proves that it knows a password without showing
/// it, and the server that it knows the client. Channel binding is not offered.
///
/// ```
/// client  n,,n=user,r=<its nonce>
/// server  r=<both nonces>,s=<salt>,i=<iterations>
/// client  c=<what it said of channel binding>,r=<both nonces>,p=<proof>
/// server  v=<signature>
/// ```
package enum SCRAMServer {
    static let method = "SCRAM-SHA-256"

    /// Why an exchange ends. Says nothing of whether there is such a user.
    package struct Failure: Error, Equatable {
        package let reason: String

        package static let syntax = Failure(reason: "not a message of SCRAM")
        package static let beyondASCII = Failure(reason: "a user name with more than printable ASCII")
        package static let proof = Failure(reason: "wrong proof")
    }

    /// The first message of a client.
    package struct First: Equatable {
        package let username: String
        fileprivate let header: String
        fileprivate let bare: String
        fileprivate let nonce: String

        package init(_ data: [UInt8]) throws(Failure) {
            guard let text = String(validating: data, as: UTF8.self), !text.utf8.contains(0) else { throw .syntax }
            let parts = SCRAMServer.parts(text)
            guard parts.count >= 4 else { throw .syntax }
            switch parts[0] {
            case "n", "y": break
            default: throw Failure(reason: "channel binding is not offered")
            }
            // An authorisation identity, or an extension that we must understand and do not.
            guard parts[1].utf8.isEmpty, let name = SCRAMServer.value("n", parts[2]).flatMap(SCRAMServer.name),
                let nonce = SCRAMServer.value("r", parts[3]), SCRAMServer.isNonce(nonce)
            else {
                throw .syntax
            }
            // No such user can be set, and what clients make of other names differs.
            guard SCRAMServer.isPlain(name.utf8) else { throw .beyondASCII }
            header = "\(parts[0]),,"
            bare = String(Substring(text.utf8.dropFirst(header.utf8.count)))
            username = name
            self.nonce = nonce
        }
    }

    /// The challenge to a client, and what its proof is checked against.
    ///
    /// - Parameter nonce: of this exchange alone.
    package static func challenge(_ first: First, _ credentials: SCRAMCredentials, nonce: String) -> (
        text: String, memory: String
    ) {
        let text =
            "r=\(first.nonce)\(nonce),s=\(Data(credentials.salt).base64EncodedString()),i=\(credentials.iterations)"
        return (text, [first.header, first.bare, text].joined(separator: "\u{0}"))
    }

    /// Whether a name or password means the same to all clients: printable ASCII. SASLprep (RFC 4013) would bring others
    /// into one form, but not every client does that, and to those that do not it would be another password.
    static func isPlain(_ text: some Sequence<UInt8>) -> Bool { text.allSatisfy { (0x20...0x7E).contains($0) } }

    /// Printable, and nobody can foretell it.
    static func nonce() -> String { PasswordHash.random(18).base64EncodedString() }

    /// An exchange after its challenge.
    package struct Second {
        package let first: First
        private let challenge: String

        package init(memory: [UInt8]) throws(Failure) {
            guard let text = String(validating: memory, as: UTF8.self) else { throw .syntax }
            let parts = text.utf8.split(separator: 0, omittingEmptySubsequences: false).map { String(Substring($0)) }
            guard parts.count == 3 else { throw .syntax }
            first = try First(Array((parts[0] + parts[1]).utf8))
            challenge = parts[2]
        }

        /// - Parameter credentials: of the user; of an unknown one nothing fits.
        /// - Returns: the server's signature, the last message.
        package func verify(_ data: [UInt8], _ credentials: SCRAMCredentials) throws(Failure) -> String {
            guard let text = String(validating: data, as: UTF8.self) else { throw .syntax }
            let parts = SCRAMServer.parts(text)
            guard parts.count >= 3, let last = parts.last, let proofText = SCRAMServer.value("p", last),
                let proof = Data(base64Encoded: proofText), proof.count == SHA256.byteCount,
                let binding = SCRAMServer.value("c", parts[0]), let nonce = SCRAMServer.value("r", parts[1])
            else {
                throw .syntax
            }
            guard binding == Data(first.header.utf8).base64EncodedString(),
                let ours = SCRAMServer.value("r", SCRAMServer.parts(challenge)[0]), nonce == ours
            else {
                throw .proof
            }
            let withoutProof = String(Substring(text.utf8.dropLast(last.utf8.count + 1)))
            let message = Array("\(first.bare),\(challenge),\(withoutProof)".utf8)
            let signature = SCRAMCredentials.signature(of: message, by: credentials.storedKey)
            let clientKey = zip(proof, signature).map { $0 ^ $1 }
            guard PasswordHash.areEqual(Array(SHA256.hash(data: clientKey)), credentials.storedKey) else {
                throw .proof
            }
            let answer = SCRAMCredentials.signature(of: message, by: credentials.serverKey)
            return "v=\(Data(answer).base64EncodedString())"
        }
    }

    // MARK: - Attributes

    fileprivate static func parts(_ text: String) -> [String] {
        text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map { String(Substring($0)) }
    }

    fileprivate static func value(_ name: String, _ part: String) -> String? {
        guard part.hasPrefix("\(name)=") else { return nil }
        return String(Substring(part.utf8.dropFirst(name.utf8.count + 1)))
    }

    /// `=2C` and `=3D` stand for comma and equals sign; nothing else follows the latter.
    fileprivate static func name(_ text: String) -> String? {
        let pieces = text.utf8.split(separator: UInt8(ascii: "="), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
        guard let first = pieces.first else { return nil }
        var name = first
        for piece in pieces.dropFirst() {
            if piece.hasPrefix("2C") {
                name += ","
            } else if piece.hasPrefix("3D") {
                name += "="
            } else {
                return nil
            }
            name += String(Substring(piece.utf8.dropFirst(2)))
        }
        return name.isEmpty ? nil : name
    }

    /// Printable ASCII without a comma; longer than any client's is nobody's.
    fileprivate static func isNonce(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: ",") }
    }
}

/// What a file keeps of a user for SCRAM: enough to check a proof, not enough to make one.
package struct SCRAMCredentials: Equatable {
    package var salt: [UInt8]
    package var iterations: Int
    package var storedKey: [UInt8]
    package var serverKey: [UInt8]

    package init(salt: [UInt8], iterations: Int, storedKey: [UInt8], serverKey: [UInt8]) {
        self.salt = salt
        self.iterations = iterations
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// - Parameter saltedPassword: PBKDF2 with HMAC-SHA-256 of the password.
    package static func keys(of saltedPassword: [UInt8]) -> (stored: [UInt8], server: [UInt8]) {
        let client = signature(of: Array("Client Key".utf8), by: saltedPassword)
        return (Array(SHA256.hash(data: client)), signature(of: Array("Server Key".utf8), by: saltedPassword))
    }

    static func signature(of message: [UInt8], by key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }

    /// Of a user who is not there: always the same for a name, so that nobody learns by asking twice, and fitting no
    /// proof.
    ///
    /// - Parameter secret: nobody's outside of this node.
    static func standIn(for name: String, secret: [UInt8], iterations: Int) -> SCRAMCredentials {
        let salt = signature(of: Array("salt \(name)".utf8), by: secret)
        return SCRAMCredentials(
            salt: Array(salt.prefix(PasswordHash.saltBytes)),
            iterations: iterations,
            storedKey: signature(of: Array("key \(name)".utf8), by: secret),
            serverKey: salt
        )
    }
}

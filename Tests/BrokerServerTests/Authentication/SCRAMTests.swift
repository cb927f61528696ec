import BrokerServer
import Foundation
import Testing

@Suite("SCRAM-SHA-256")
struct SCRAMTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// The example of RFC 7677 §3.
    @Test("agrees with the example of RFC 7677")
    func example() throws {
        let salt = Array(try #require(Data(base64Encoded: "W22ZaJ0SNY7soEsUEjb6gQ==")))
        let keys = SCRAMCredentials.keys(of: try PasswordHash.salted(bytes("pencil"), salt, 4096))
        let credentials = SCRAMCredentials(
            salt: salt, iterations: 4096, storedKey: keys.stored, serverKey: keys.server)
        let first = try SCRAMServer.First(bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
        #expect(first.username == "user")
        let (text, memory) = SCRAMServer.challenge(first, credentials, nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        #expect(
            text == "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
        let final =
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        let second = try SCRAMServer.Second(memory: bytes(memory))
        #expect(try second.verify(bytes(final), credentials) == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        #expect(throws: SCRAMServer.Failure.proof) {
            try second.verify(bytes(final.replacing("c=biws", with: "c=eSws")), credentials)
        }
        #expect(throws: SCRAMServer.Failure.proof) {
            try second.verify(bytes(final.replacing("p=dHzb", with: "p=eHzb")), credentials)
        }
        #expect(throws: SCRAMServer.Failure.proof) {
            try second.verify(bytes(final.replacing("hNlF$k0,", with: "hNlF$k1,")), credentials)
        }
        var others = credentials
        others.storedKey[0] ^= 1
        #expect(throws: SCRAMServer.Failure.proof) { try second.verify(bytes(final), others) }
    }

    @Test(
        "what is no first message is refused",
        arguments: [
            "", "n", "n,,", "n,,n=user", "n,,r=x,n=user", "p=tls-unique,,n=user,r=x", "n,a=admin,n=user,r=x",
            "n,,m=x,n=user,r=x", "n,,n=,r=x", "n,,n=a=b,r=x", "n,,n=a=,r=x", "n,,n=user,r=", "n,,n=user,r=a b",
            "n,,n=zoé,r=x", "n,,n=a\u{7F},r=x",
        ]
    )
    func malformed(_ text: String) { #expect(throws: SCRAMServer.Failure.self) { try SCRAMServer.First(bytes(text)) } }

    @Test("commas and equals signs of a name are escaped")
    func names() throws { #expect(try SCRAMServer.First(bytes("y,,n=a=2Cb=3Dc,r=x")).username == "a,b=c") }

    @Test("SCRAM refuses names and passwords that clients may write in several ways (RFC 4013)")
    func beyondASCII() throws {
        #expect(throws: SCRAMServer.Failure.beyondASCII) { try SCRAMServer.First(bytes("n,,n=zoe\u{301},r=x")) }
        let folder = NSTemporaryDirectory() + "scram-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { do { try FileManager.default.removeItem(atPath: folder) } catch {} }
        let edit = UserFileEdit(path: folder + "/users")
        let cost = PasswordHash.Method.scram(iterations: 4_096)
        for (name, password) in [("zoé", "secret"), ("zoe", "pässword"), ("zoe", "a\tb")] {
            #expect(throws: UserFileEdit.Problem.self) { try edit.set(name, password: bytes(password), method: cost) }
        }
        #expect(try edit.set("zoe", password: bytes("secret ~"), method: cost))
        #expect(try edit.set("zoé", password: bytes("pässword")))
    }

    @Test("a line of the file holds keys and no password, and lets the password in as well")
    func line() throws {
        let hash = try PasswordHash(password: bytes("secret"), method: PasswordHash.scramCost)
        let read = try PasswordHash(hash.text[...])
        #expect(read == hash)
        #expect(read.scram?.iterations == 16_384)
        #expect(read.matches(bytes("secret")))
        #expect(!read.matches(bytes("Secret")))
        #expect(try PasswordHash(password: bytes("secret")).scram == nil)
    }

    @Test(
        "damaged lines are problems",
        arguments: [
            "$scram-sha-256$4095$AAAA$\(key)$\(key)", "$scram-sha-256$4096$AAAA$\(key)",
            "$scram-sha-256$4096$AAAA$AAAA$\(key)", "$scram-sha-256$4096$AAAA$\(key)$AAAA",
            "$scram-sha-256$4096$$\(key)$\(key)",
        ]
    )
    func damaged(_ text: String) { #expect(throws: PasswordHash.Problem.self) { try PasswordHash(text[...]) } }

    private static let key = Data(repeating: 7, count: 32).base64EncodedString()

    @Test("an unknown user is asked for a proof with a salt that does not change, and nothing fits")
    func unknown() throws {
        let line = try PasswordHash(password: bytes("secret"), method: PasswordHash.scramCost).text
        let file = try UserFile("ann:\(line)", path: "users")
        let more = try UserFile("ann:\(line)\nbob:\(line)", path: "users")
        let salt = file.scram(for: "zoe", otherwise: []).salt
        #expect(salt == more.scram(for: "zoe", otherwise: []).salt)
        #expect(salt.count == 16)
        #expect(salt != file.scram(for: "zoé", otherwise: []).salt)
        #expect(file.scram(for: "ann", otherwise: []) == (try PasswordHash(line[...])).scram)
    }
}

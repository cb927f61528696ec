import BrokerServer
import Testing

@Suite("Password hashes")
struct PasswordHashTests {
    static let cheap = PasswordHash.Method.scrypt(logRounds: 4, blockSize: 8, parallelism: 1)

    @Test(
        "lines that mosquitto_passwd made fit their passwords and no others",
        arguments: [
            (
                "$7$101$epbDt/Ry0K9iVSer$WXuB9JJqv9UlWyIlX4FktkwlYeAnO5Tolgxn0BwwVz1284hd1kjw3cwUC8DgVpjGFZ7OQ+ahmVPyJRjqW5ofTg==",
                "secret", PasswordHash.Method.pbkdf2(rounds: 101)
            ),
            (
                "$6$I2QYoL0tfnQhV4lK$Lne+c1Bem7/6kA5wjAOJ/zsYcoYrYJqAaxzP0BgMUiV8Vc0wAaV9yvbMfnAyHqDBXrckgMDuPz3f72jkqQhlmQ==",
                "pass", .sha512
            ),
        ]
    )
    func mosquitto(_ text: String, _ password: String, _ method: PasswordHash.Method) throws {
        let hash = try PasswordHash(text[...])
        #expect(hash.method == method)
        #expect(hash.matches(Array(password.utf8)))
        #expect(!hash.matches(Array((password + "x").utf8)))
        #expect(!hash.matches([]))
        #expect(hash.text == text)
    }

    @Test("scrypt gives what RFC 7914 §12 says for its second vector")
    func vector() throws {
        let digest = "/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA"
        let hash = try PasswordHash("$scrypt$ln=10,r=8,p=16$TmFDbA$\(digest)"[...])
        #expect(hash.method == .scrypt(logRounds: 10, blockSize: 8, parallelism: 16))
        #expect(hash.matches(Array("password".utf8)))
        #expect(!hash.matches(Array("Password".utf8)))
    }

    @Test("what was written is read again, with salt of its own each time")
    func roundTrip() throws {
        let password = Array("geheim ü".utf8)
        let first = try PasswordHash(password: password, method: Self.cheap)
        let second = try PasswordHash(password: password, method: Self.cheap)
        #expect(first != second)
        #expect(first.text.hasPrefix("$scrypt$ln=4,r=8,p=1$") && !first.text.hasSuffix("="))
        let read = try PasswordHash(first.text[...])
        #expect(read == first)
        #expect(read.matches(password))
        #expect(!read.matches(Array("geheim u".utf8)))
    }

    @Test("new passwords are hashed with scrypt, at a cost that is worth it")
    func cost() throws {
        #expect(PasswordHash.cost == .scrypt(logRounds: 14, blockSize: 8, parallelism: 1))
        #expect(try PasswordHash(password: [0x61]).method == PasswordHash.cost)
    }

    @Test(
        "what is no hash is refused, and never shown",
        arguments: [
            ("geheim", "not hashed"), ("", "not hashed"), ("$", "not known"), ("$5$aa$bb", "not known"),
            ("$argon2id$v=19$m=512,t=3,p=2$c2FsdA$ZGlnZXN0", "not known"), ("$7$101$c2FsdA==", "cut short"),
            ("$7$0$c2FsdA==$\(digest)", "rounds"), ("$7$10000001$c2FsdA==$\(digest)", "rounds"),
            ("$7$x$c2FsdA==$\(digest)", "rounds"), ("$7$101$geheim!$\(digest)", "salt"),
            ("$7$101$c2FsdA==$ge heim", "digest"), ("$7$101$$\(digest)", "salt"), ("$7$101$c2FsdA==$", "digest"),
            ("$6$c2FsdA==$\(digest)", "64 bytes"), ("$6$c2FsdA==", "cut short"),
            ("$scrypt$ln=21,r=8,p=1$c2FsdA$\(digest)", "ln=1 to 20"),
            ("$scrypt$ln=20,r=8,p=1$c2FsdA$\(digest)", "256 MiB"), ("$scrypt$ln=14,r=8$c2FsdA$\(digest)", "ln=1"),
            ("$scrypt$ln=14,r=8,p=1,x=1$c2FsdA$\(digest)", "ln=1"), ("$scrypt$ln=14,r=8,p=0$c2FsdA$\(digest)", "p=1"),
            ("$scrypt$ln=14,r=8,p=1$c2FsdA$\(digest)$", "too many parts"),
        ]
    )
    func malformed(_ text: String, _ word: String) {
        do throws(PasswordHash.Problem) {
            _ = try PasswordHash(text[...])
            Issue.record("\(text) was taken")
        } catch {
            #expect(error.message.contains(word), "\(error.message)")
            #expect(!error.message.contains("geheim"))
        }
    }

    private static let digest = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
}

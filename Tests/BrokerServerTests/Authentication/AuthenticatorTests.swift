import BrokerCore
import BrokerServer
import Foundation
import Logging
import MQTTCodec
import Synchronization
import TestSupport
import Testing

@Suite("Who may come in")
struct AuthenticatorTests {
    /// An authenticator over a file of users, with a clock that is set by hand. Pauses end at once, or when the test says.
    final class Desk: Sendable {
        let authenticator: Authenticator
        let pauses: AsyncStream<(Duration, @Sendable () -> Void)>
        private let folder: String

        var path: String { folder + "/users" }

        init(
            endsPauses: Bool = true,
            users: [String: String] = ["ann": "secret", "bob": "geheim"],
            _ change: (inout AuthenticationConfiguration) -> Void = { _ in }
        ) throws {
            folder = FileManager.default.temporaryDirectory.appending(path: "drawbridge-\(UUID().uuidString)").path()
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let path = folder + "/users"
            try Self.write(users, to: path)
            var configuration = AuthenticationConfiguration()
            configuration.chain = [.cert, .users]
            configuration.usersFile = path
            change(&configuration)
            let clock = Clock()
            let (stream, continuation) = AsyncStream.makeStream(of: (Duration, @Sendable () -> Void).self)
            pauses = stream
            authenticator = try Authenticator(
                configuration,
                patience: .seconds(10),
                now: { Instant(nanoseconds: clock.nanoseconds.load(ordering: .relaxed)) },
                later: { pause, end in
                    if endsPauses { end() } else { continuation.yield((pause, end)) }
                },
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            self.clock = clock
        }

        final class Clock: Sendable {
            let nanoseconds = Atomic<UInt64>(1_000_000_000_000)
        }
        private let clock: Clock

        func passes(seconds: UInt64) { clock.nanoseconds.add(seconds * 1_000_000_000, ordering: .relaxed) }

        static func write(_ users: [String: String], to path: String) throws {
            let lines = try users.map { name, password in
                "\(name):\(try PasswordHash(password: Array(password.utf8), method: PasswordHashTests.cheap).text)\n"
            }
            try lines.sorted().joined().write(toFile: path, atomically: true, encoding: .utf8)
        }

        func asks(_ login: Login) async -> AuthenticationVerdict {
            await withCheckedContinuation { continuation in
                let verdict = authenticator.decide(login) { continuation.resume(returning: $0) }
                if let verdict { continuation.resume(returning: verdict) }
            }
        }

        func asks(_ username: MQTTString?, _ password: String?, from address: NetworkAddress? = "192.0.2.1") async
            -> AuthenticationVerdict
        {
            await asks(Login(username: username, password: password.map { Array($0.utf8) }, address: address))
        }

        func close() throws {
            authenticator.shutDown()
            try FileManager.default.removeItem(atPath: folder)
        }
    }

    private func atDesk(
        endsPauses: Bool = true,
        users: [String: String] = ["ann": "secret", "bob": "geheim"],
        _ change: (inout AuthenticationConfiguration) -> Void = { _ in },
        _ story: (Desk) async throws -> Void
    ) async throws {
        let desk = try Desk(endsPauses: endsPauses, users: users, change)
        try await story(desk)
        try desk.close()
    }

    @Test("a user with the right password comes in under its name, and nobody else does")
    func passwords() async throws {
        try await atDesk { desk in
            #expect(await desk.asks("ann", "secret") == .accepted(username: "ann"))
            #expect(await desk.asks("bob", "geheim") == .accepted(username: "bob"))
            for (username, password) in [
                ("ann", "geheim"), ("Ann", "secret"), ("ann", ""), ("ann", nil), ("", ""), ("", nil), ("zoe", "secret"),
                (nil, "secret"), ("ann:", "secret"),
            ] as [(MQTTString?, String?)] {
                let verdict = await desk.asks(username, password)
                #expect(verdict == .refused(.badCredentials), "\(username ?? "nobody"), \(password ?? "nothing")")
            }
        }
    }

    @Test("a password that is longer than any can be is not hashed")
    func longPassword() async throws {
        try await atDesk { desk in
            let password = [UInt8](repeating: 0x61, count: PasswordHash.passwordBytesMax + 1)
            let login = Login(username: "ann", password: password, address: "192.0.2.1")
            #expect(desk.authenticator.decide(login) { _ in } == .refused(.badCredentials))
        }
    }

    @Test("who shows nothing is refused, from loopback too, unless the file says otherwise")
    func anonymous() async throws {
        try await atDesk { desk in
            #expect(await desk.asks(nil, nil, from: "127.0.0.1") == .refused(.notAuthorized))
        }
        try await atDesk({ $0.allowsAnonymous = true }) { desk in
            #expect(await desk.asks(nil, nil) == .accepted(username: nil))
            // But whoever shows something has to be right.
            #expect(await desk.asks("ann", "wrong") == .refused(.badCredentials))
            #expect(await desk.asks("ann", nil) == .refused(.badCredentials))
        }
    }

    @Test("a certificate decides when it is asked first, and is nothing to a chain that does not know it")
    func certificates() async throws {
        let login = Login(
            username: "ann",
            password: Array("wrong".utf8),
            certificateName: "device-7",
            address: "192.0.2.1"
        )
        try await atDesk { desk in
            #expect(await desk.asks(login) == .accepted(username: "device-7"))
            var nameless = login
            nameless.certificateName = ""
            #expect(await desk.asks(nameless) == .refused(.badCredentials))
        }
        try await atDesk({ $0.chain = [.users] }) { desk in
            #expect(await desk.asks(login) == .refused(.badCredentials))
            #expect(await desk.asks(Login(certificateName: "device-7")) == .refused(.notAuthorized))
        }
        try await atDesk({ $0.chain = [.cert] }) { desk in
            #expect(await desk.asks("ann", "secret") == .refused(.badCredentials))
        }
    }

    @Test("the third refusal in a row waits, the right password does not, and clears the count")
    func pause() async throws {
        try await atDesk(endsPauses: false) { desk in
            #expect(await desk.asks("ann", "1") == .refused(.badCredentials))
            #expect(await desk.asks("ann", "2") == .refused(.badCredentials))
            var pauses = desk.pauses.makeAsyncIterator()
            async let third = desk.asks("ann", "3")
            let (length, end) = try #require(await pauses.next())
            #expect(length == .milliseconds(250))
            #expect(await desk.asks("ann", "secret") == .accepted(username: "ann"))
            end()
            #expect(await third == .refused(.badCredentials))
            // Cleared: free again.
            #expect(await desk.asks("ann", "4") == .refused(.badCredentials))
        }
    }

    @Test("a login that was right a moment ago is not hashed again, for a minute")
    func cache() async throws {
        try await atDesk { desk in
            let login = Login(username: "ann", password: Array("secret".utf8), address: "192.0.2.1")
            #expect(await desk.asks(login) == .accepted(username: "ann"))
            #expect(desk.authenticator.decide(login) { _ in } == .accepted(username: "ann"))
            desk.passes(seconds: 61)
            #expect(await desk.asks(login) == .accepted(username: "ann"))
            var wrong = login
            wrong.password = Array("secret ".utf8)
            #expect(await desk.asks(wrong) == .refused(.badCredentials))
        }
    }

    @Test("a password that comes up too late is not hashed")
    func late() async throws {
        try await atDesk { desk in
            // The clock jumps between the question and the thread that takes it, or the login is decided before that.
            let login = Login(username: "ann", password: Array("secret".utf8))
            let verdict = await withCheckedContinuation { continuation in
                let verdict = desk.authenticator.decide(login) { continuation.resume(returning: $0) }
                desk.passes(seconds: 11)
                if let verdict { continuation.resume(returning: verdict) }
            }
            #expect([.refused(.busy), .accepted(username: "ann")].contains(verdict))
        }
    }

    @Test("more logins than can wait are told to come again, and those of others still get in")
    func flood() async throws {
        // Dear enough that the flood is there before the first of it is done.
        try await atDesk { desk in
            let slow = try PasswordHash(
                password: Array("secret".utf8), method: .scrypt(logRounds: 10, blockSize: 8, parallelism: 1))
            try "ann:\(slow.text)\n".write(toFile: desk.path, atomically: true, encoding: .utf8)
            await reloaded(desk, Login(username: "bob", password: Array("geheim".utf8)))
            let refused = Atomic<Int>(0)
            for number in 0..<3000 {
                let login = Login(username: "x", password: Array("\(number)".utf8), address: "203.0.113.1")
                if desk.authenticator.decide(login, { _ in }) == .refused(.busy) {
                    refused.add(1, ordering: .relaxed)
                }
            }
            #expect(refused.load(ordering: .relaxed) >= 400)
            #expect(await desk.asks("ann", "secret", from: "192.0.2.1") == .accepted(username: "ann"))
        }
    }

    /// Waits until a login that was right is refused because the file has changed.
    private func reloaded(_ desk: Desk, _ login: Login) async {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            desk.authenticator.tick()
            if await desk.asks(login) == .refused(.badCredentials) { return }
            await Task.yield()
        }
        Issue.record("the file was not read again")
    }

    @Test("a changed file counts as a whole, and what was remembered is forgotten; a broken one changes nothing")
    func reload() async throws {
        try await atDesk { desk in
            let ann = Login(username: "ann", password: Array("secret".utf8))
            #expect(await desk.asks(ann) == .accepted(username: "ann"))
            try Desk.write(["ann": "other", "zoe": "new"], to: desk.path)
            await reloaded(desk, ann)
            #expect(await desk.asks("zoe", "new") == .accepted(username: "zoe"))

            try "ann:broken\n".write(toFile: desk.path, atomically: true, encoding: .utf8)
            for _ in 0..<3 { desk.authenticator.tick() }
            // The thread that looked at the file is the one that hashes this.
            #expect(await desk.asks("ann", "other") == .accepted(username: "ann"))
            try FileManager.default.removeItem(atPath: desk.path)
            desk.authenticator.tick()
            #expect(await desk.asks("zoe", "new") == .accepted(username: "zoe"))
        }
    }

    @Test("a file that is broken or not there stops the start")
    func start() throws {
        #expect(throws: ConfigurationProblems.self) { try Desk { $0.usersFile = "/nowhere/users" } }
    }
}

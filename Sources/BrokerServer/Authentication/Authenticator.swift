package import BrokerCore
import FileStatus
package import Logging
package import MQTTCodec
import NIOCore
import Synchronization

/// Decides who is let in, by asking the sources of `auth.chain` in their order: the first that knows an answer decides.
///
/// Everybody may ask, from any thread. What can be said at once is said at once (a certificate, a login that was right a
/// moment ago, nothing to show at all); a password is hashed on threads of its own. Unknown users cost what known ones
/// cost, and refusals are counted and held back.
package final class Authenticator: Sendable {
    package typealias Answer = @Sendable (AuthenticationVerdict) -> Void

    private struct State {
        var users = UserFile()
        /// Makes up what unknown users are asked for, where no user tells.
        let secret = Array(PasswordHash.random(32))
        /// Of the file that was read last, whether it was taken or not.
        var changes = FileChanges(since: [])
        /// Counts the changes of `users`: what was hashed before one is not remembered after it.
        var generation = 0
        var failed = FailedLogins()
        var verified = VerifiedLogins()
        var rate = LogRate()
        var held = 0
        var isLooking = false
        /// Told of users whose passwords were changed or who are gone.
        var revoked: (@Sendable (Set<MQTTString>) -> Void)?
    }

    let configuration: AuthenticationConfiguration
    private let state: Mutex<State>
    private let threads: HashingThreads
    private let patience: Duration
    private let now: @Sendable () -> Instant
    private let later: @Sendable (Duration, @escaping @Sendable () -> Void) -> Void
    private let logger: Logger

    /// Refusals that are held back at the same time, all of them together: each holds a connection. Beyond it they are
    /// given at once, since keeping others out is worse than a fast guess.
    private static let heldMax = 1_000
    private static let nameShownMax = 64

    /// - Parameters:
    ///   - patience: how long somebody waits for a verdict; a password that comes up later is not hashed.
    ///   - now: the monotonic clock.
    ///   - later: calls something after so long, on any thread.
    /// - Throws: what is wrong with the file of users.
    package init(
        _ configuration: AuthenticationConfiguration,
        patience: Duration,
        now: @escaping @Sendable () -> Instant,
        later: @escaping @Sendable (Duration, @escaping @Sendable () -> Void) -> Void,
        logger: Logger
    ) throws(ConfigurationProblems) {
        var state = State()
        if let path = configuration.usersFile {
            state.changes = FileChanges(since: [FileStatus.of(path)])
            let (users, isReadableByAll) = try UserFile.load(path: path)
            state.users = users
            if isReadableByAll {
                logger.warning("the users can be read by every user of this machine: chmod o-r \(path)")
            }
        }
        self.configuration = configuration
        self.state = Mutex(state)
        self.patience = patience
        self.now = now
        self.later = later
        self.logger = logger
        threads = HashingThreads(now: now)
    }

    /// Who is this?
    ///
    /// - Parameter answer: called once, on some other thread, when this returns nil; else not at all.
    /// - Returns: the verdict when it is known at once.
    package func decide(_ login: Login, _ answer: @escaping Answer) -> AuthenticationVerdict? {
        if let exchange = login.exchange { return step(exchange, login, answer) }
        for source in configuration.chain {
            switch source {
            case .cert:
                guard let name = login.certificateName, !name.isEmpty else { continue }
                return .accepted(username: MQTTString(name))
            case .users:
                guard let username = login.username, let password = login.password else { continue }
                return verify(username, password, login, answer)
            }
        }
        guard login.username == nil, login.password == nil else {
            return refuse(login, .badCredentials, answer)
        }
        if configuration.allowsAnonymous { return .accepted(username: nil) }
        log(login, "nothing to show")
        return .refused(.notAuthorized)
    }

    // MARK: - Passwords

    private func verify(
        _ username: MQTTString,
        _ password: [UInt8],
        _ login: Login,
        _ answer: @escaping Answer
    ) -> AuthenticationVerdict? {
        guard password.count <= PasswordHash.passwordBytesMax else { return refuse(login, .badCredentials, answer) }
        let start = now()
        let name = username.string
        let (fingerprint, isVerified, known, hash, generation) = state.withLock { state in
            let fingerprint = state.verified.fingerprint(user: name, password: password)
            let known = state.users.hash(of: name)
            return (
                fingerprint, state.verified.contains(fingerprint, now: start), known != nil,
                known ?? state.users.standIn(for: name), state.generation
            )
        }
        if isVerified {
            state.withLock { $0.failed.succeeded(address: login.address, user: name) }
            return .accepted(username: username)
        }
        let isQueued = threads.run(for: login.address, until: start.advanced(by: patience)) { isLate in
            guard !isLate else { return answer(.refused(.busy)) }
            // Both are always done: who is unknown shall not be told by the time it takes.
            let fits = hash.matches(password)
            guard fits, known else {
                if let verdict = self.refuse(login, .badCredentials, answer) { answer(verdict) }
                return
            }
            let isCurrent = self.state.withLock { state in
                // The file may have changed while the old password was hashed.
                guard state.generation == generation || state.users.hash(of: name) == hash else { return false }
                state.failed.succeeded(address: login.address, user: name)
                if state.generation == generation { state.verified.insert(fingerprint, now: self.now()) }
                return true
            }
            guard isCurrent else { return answer(.refused(.busy)) }
            answer(.accepted(username: username))
        }
        guard isQueued else {
            log(login, "too many logins at once")
            return .refused(.busy)
        }
        return nil
    }

    /// - Returns: the verdict when it need not wait.
    private func refuse(
        _ login: Login,
        _ refusal: AuthenticationRefusal,
        _ answer: @escaping Answer
    ) -> AuthenticationVerdict? {
        let now = now()
        let (pause, failures, isHeld) = state.withLock { state in
            let (pause, failures) = state.failed.failed(
                address: login.address,
                user: login.username?.string,
                now: now
            )
            let isHeld = pause > .zero && state.held < Self.heldMax
            if isHeld { state.held += 1 }
            return (pause, failures, isHeld)
        }
        log(login, "wrong user name or password", failures: failures)
        guard isHeld else { return .refused(refusal) }
        later(pause) {
            self.state.withLock { $0.held -= 1 }
            answer(.refused(refusal))
        }
        return nil
    }

    // MARK: - SCRAM

    /// A step of an exchange. What it costs is a few microseconds, so that it need not wait.
    private func step(_ exchange: AuthenticationExchange, _ login: Login, _ answer: @escaping Answer)
        -> AuthenticationVerdict?
    {
        guard configuration.chain.contains(.users), exchange.method.string == SCRAMServer.method else {
            return refuse(login, .notAuthorized, answer)
        }
        var login = login
        do throws(SCRAMServer.Failure) {
            guard let memory = exchange.memory else {
                let first = try SCRAMServer.First(exchange.data)
                let (text, memory) = SCRAMServer.challenge(
                    first, credentials(of: first.username), nonce: SCRAMServer.nonce())
                return .challenge(data: Array(text.utf8), memory: Array(memory.utf8))
            }
            let second = try SCRAMServer.Second(memory: memory)
            let name = second.first.username
            login.username = MQTTString(name)
            let lastWord = try second.verify(exchange.data, credentials(of: name))
            state.withLock { $0.failed.succeeded(address: login.address, user: name) }
            return .proven(username: MQTTString(name), data: Array(lastWord.utf8))
        } catch {
            return refuse(login, .badCredentials, answer)
        }
    }

    private func credentials(of name: String) -> SCRAMCredentials {
        state.withLock { $0.users.scram(for: name, otherwise: $0.secret) }
    }

    // MARK: - The file

    /// Looks after what takes time: a changed file of users, and log lines that were held back. To be called every
    /// second or so; returns at once.
    package func tick() {
        let now = now()
        let hidden = state.withLock { $0.rate.takeHidden(now) }
        if hidden > 0 { logger.warning("more logins were refused", metadata: ["count": "\(hidden)"]) }
        guard let path = configuration.usersFile else { return }
        let looks = state.withLock { state in
            guard !state.isLooking else { return false }
            state.isLooking = true
            return true
        }
        guard looks else { return }
        threads.run {
            self.reload(path)
            self.state.withLock { $0.isLooking = false }
        }
    }

    /// Takes the whole new file, or keeps the old one and says why.
    private func reload(_ path: String) {
        let status = FileStatus.of(path)
        guard state.withLock({ $0.changes.haveSettled([status]) }) else { return }
        do throws(ConfigurationProblems) {
            let (users, _) = try UserFile.load(path: path)
            let (changed, revoked) = state.withLock { state in
                let changed = state.users.changed(in: users)
                state.users = users
                state.generation += 1
                state.verified.removeAll()
                return (changed, state.revoked)
            }
            if !changed.isEmpty { revoked?(Set(changed.map { MQTTString($0) })) }
            logger.notice("users read again", metadata: ["detail": "\(path): \(users.names.count) users"])
        } catch {
            for problem in error.problems {
                logger.error("users not read again, the old ones stay", metadata: ["detail": "\(problem)"])
            }
        }
    }

    /// - Parameter body: called on some thread, after a change of the file, with the users who are gone or have another
    ///   password.
    package func whenRevoked(_ body: @escaping @Sendable (Set<MQTTString>) -> Void) {
        state.withLock { $0.revoked = body }
    }

    package func shutDown() { threads.shutDown() }

    // MARK: - Log

    private func log(_ login: Login, _ reason: String, failures: Int = 0) {
        let now = now()
        guard state.withLock({ $0.rate.permits(now) }) else { return }
        var metadata: Logger.Metadata = ["detail": "\(reason), from \(login.address.map { "\($0)" } ?? "local")"]
        if let username = login.username {
            metadata["user"] = .string(LogText.escaped(String(username.string.prefix(Self.nameShownMax))))
        }
        if !login.clientID.isEmpty {
            metadata["client"] = .string(LogText.escaped(String(login.clientID.string.prefix(Self.nameShownMax))))
        }
        if failures > 1 { metadata["failures"] = "\(failures)" }
        logger.warning("login refused", metadata: metadata)
    }
}

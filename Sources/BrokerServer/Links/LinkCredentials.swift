import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Synchronization

/// Who a link says that it is, found out for each connection anew and never on an event loop.
final class LinkCredentials: Sendable {
    private let username: String?
    private let password: CredentialSource?
    /// A file on a disk that hangs must not cost a thread a try.
    private let isAsking = Mutex(false)

    init(username: String?, password: CredentialSource?) {
        self.username = username
        self.password = password
    }

    /// - Parameter done: called on the loop, once, and in the same turn where there is nothing to wait for.
    func read(on loop: any EventLoop, _ done: @escaping (Result<LinkLogin, CredentialSource.Failure>) -> Void) {
        switch password {
        case nil: done(.success(login(nil)))
        case .text(let secret): done(.success(login(secret)))
        case .some(let source): ask(source, on: loop, done)
        }
    }

    private func ask(
        _ source: CredentialSource,
        on loop: any EventLoop,
        _ done: @escaping (Result<LinkLogin, CredentialSource.Failure>) -> Void
    ) {
        let isBusy = isAsking.withLock { isAsking in
            defer { isAsking = true }
            return isAsking
        }
        guard !isBusy else { return done(.failure(CredentialSource.Failure("the password is still being waited for"))) }
        let answer = loop.makePromise(of: LinkLogin.self)
        Thread.detachNewThread {
            do throws(CredentialSource.Failure) {
                let secret = try source.read(
                    environment: { ProcessInfo.processInfo.environment[$0] },
                    files: .disk
                )
                answer.succeed(self.login(secret))
            } catch {
                answer.fail(error)
            }
            self.isAsking.withLock { $0 = false }
        }
        // Commands have their own end by then.
        let late = CredentialSource.Failure("the password could not be read in time")
        let patience = TimeAmount(CredentialSource.patience) + .seconds(1)
        var isOver = false
        let timer = loop.assumeIsolated().scheduleTask(in: patience) {
            guard !isOver else { return }
            isOver = true
            done(.failure(late))
        }
        answer.futureResult.assumeIsolated().whenComplete { result in
            timer.cancel()
            guard !isOver else { return }
            isOver = true
            done(result.mapError { $0 as? CredentialSource.Failure ?? CredentialSource.Failure("\($0)") })
        }
    }

    private func login(_ secret: Secret?) -> LinkLogin {
        LinkLogin(
            username: username.map { MQTTString($0) },
            password: secret.map { ByteBuffer(bytes: $0.bytes) }
        )
    }
}

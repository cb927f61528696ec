import Certificates
import Foundation
import Logging
import Synchronization

/// Looks after all certificates of a node: loads new ones, and says in time which end.
final class CertificateWatch: Sendable {
    private static let pause = Duration.seconds(1)
    private static let day: Int64 = 86_400

    private let all: [WatchedTLS]
    private let logger: Logger
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(_ all: [WatchedTLS], logger: Logger) {
        self.all = all
        self.logger = logger
    }

    var statuses: [CertificateStatus] {
        let now = Self.now
        return all.compactMap { watched in
            watched.certificate.map { CertificateStatus(owner: watched.owner, facts: $0, now: now) }
        }
    }

    /// Polls: it works on every file system, through links and mounts, and costs three `stat` a second and listener.
    func start() {
        guard !all.isEmpty else { return }
        warn()
        let new = Task.detached { [self] in
            var warned = Self.now
            while !Task.isCancelled {
                do {
                    try await Task.sleep(for: Self.pause)
                } catch {
                    return
                }
                for watched in all { watched.look(logger) }
                // The wall clock may be set back.
                guard abs(Self.now - warned) >= Self.day else { continue }
                warned = Self.now
                warn()
            }
        }
        task.withLock { $0 = new }
    }

    func stop() {
        task.withLock { task in
            task?.cancel()
            task = nil
        }
    }

    private func warn() {
        for status in statuses {
            guard let warning = status.facts.expiryWarning(now: status.now) else { continue }
            let level: Logger.Level = status.freshness == .expired ? .error : .warning
            logger.log(
                level: level,
                "certificate \(warning)",
                metadata: ["of": .string(status.owner), "subject": .string(status.facts.subject)]
            )
        }
    }

    static var now: Int64 { Int64(Date().timeIntervalSince1970) }
}

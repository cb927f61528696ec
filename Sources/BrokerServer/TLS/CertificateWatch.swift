import Certificates
import Foundation
import Logging
import Synchronization

/// Looks after all certificates of a node: loads new ones, and says in time which end.
final class CertificateWatch: Sendable {
    private static let pause = Duration.seconds(1)
    private static let day: Int64 = 86_400

    private let watched = Mutex<[WatchedTLS]>([])
    private let logger: Logger
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(logger: Logger) { self.logger = logger }

    var statuses: [CertificateStatus] { statuses(of: watched.withLock { $0 }) }

    private func statuses(of some: [WatchedTLS]) -> [CertificateStatus] {
        let now = Self.now
        return some.compactMap { watched in
            watched.certificate.map { CertificateStatus(owner: watched.owner, facts: $0, now: now) }
        }
    }

    /// Looks after these from now on, and after no others. Not after `stop`.
    func watch(_ all: [WatchedTLS]) {
        let known = watched.withLock { watched in
            defer { watched = all }
            return watched
        }
        warn(all.filter { one in !known.contains { $0 === one } })
        guard !all.isEmpty, task.withLock({ $0 == nil }) else { return }
        start()
    }

    /// Polls: it works on every file system, through links and mounts, and costs three `stat` a second and listener.
    private func start() {
        let new = Task.detached { [self] in
            var warned = Self.now
            while !Task.isCancelled {
                do {
                    try await Task.sleep(for: Self.pause)
                } catch {
                    return
                }
                let all = watched.withLock { $0 }
                for one in all { one.look(logger) }
                // The wall clock may be set back.
                guard abs(Self.now - warned) >= Self.day else { continue }
                warned = Self.now
                warn(all)
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

    private func warn(_ some: [WatchedTLS]) {
        for status in statuses(of: some) {
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

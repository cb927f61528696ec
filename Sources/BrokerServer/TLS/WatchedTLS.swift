package import Certificates
import FileStatus
package import Logging
import NIOSSL
import Synchronization

/// The TLS of one listener or link: the newest that could be loaded from its files.
///
/// Whoever begins a handshake takes `context`; one that is under way, and every connection that stands, keeps the one
/// it began with. Files that cannot be used are said once and change nothing.
package final class WatchedTLS: Sendable {
    private struct State {
        var loaded: LoadedTLS
        /// A certificate and its key are two files and rarely change at the same moment.
        var changes: FileChanges
    }

    /// "listener mqtts" or "link hq", for the log.
    let owner: String
    private let paths: [String]
    private let isWatched: Bool
    private let load: @Sendable () throws(TLSProblem) -> LoadedTLS
    private let state: Mutex<State>

    /// Loads for the first time.
    ///
    /// - Throws: what keeps the files from being used.
    init(
        owner: String,
        paths: [String],
        isWatched: Bool,
        load: @escaping @Sendable () throws(TLSProblem) -> LoadedTLS
    ) throws(TLSProblem) {
        self.owner = owner
        self.paths = paths
        self.isWatched = isWatched
        self.load = load
        let changes = FileChanges(since: paths.map(FileStatus.of))
        state = Mutex(State(loaded: try load(), changes: changes))
    }

    /// For the next handshake.
    var context: NIOSSLContext { state.withLock { $0.loaded.context } }
    package var certificate: CertificateFacts? { state.withLock { $0.loaded.certificate } }

    /// Looks at the files, and loads them when they changed and stand still. Called every moment by one thread.
    package func look(_ logger: Logger) {
        guard isWatched else { return }
        let stamps = paths.map(FileStatus.of)
        if state.withLock({ $0.changes.haveSettled(stamps) }) { reload(logger) }
    }

    private func reload(_ logger: Logger) {
        do throws(TLSProblem) {
            let loaded = try load()
            state.withLock { $0.loaded = loaded }
            var metadata: Logger.Metadata = ["of": .string(owner)]
            if let certificate = loaded.certificate {
                metadata["subject"] = .string(certificate.subject)
                metadata["expires"] = .string(certificate.expiryDate)
            }
            logger.notice("new certificate", metadata: metadata)
        } catch {
            logger.error(
                "new certificate files cannot be used, the old ones stay",
                metadata: ["of": .string(owner), "detail": .string(error.message)]
            )
        }
    }
}

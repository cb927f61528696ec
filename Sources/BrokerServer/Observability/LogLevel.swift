package import Logging
import Synchronization

/// The least important level that is written: all loggers of a node share it, so that it can be changed while they run.
package final class LogLevel: Sendable {
    private let level: Mutex<Logger.Level>

    package init(_ level: Logger.Level) { self.level = Mutex(level) }

    package var value: Logger.Level { level.withLock { $0 } }

    package func set(_ new: Logger.Level) { level.withLock { $0 = new } }
}

extension Logger.Level {
    package init(_ level: LogConfiguration.Level) { self = Logger.Level(rawValue: level.rawValue) ?? .info }
}

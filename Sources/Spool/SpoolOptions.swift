/// Where a spool lives and how much it may hold.
package struct SpoolOptions: Sendable {
    /// The folder that holds `spool.sqlite`, its write-ahead log and `spool.lock`. Made with mode 0700 if it is missing.
    package var directory: String
    /// How many messages may wait for one session; beyond it the oldest are dropped. Links are not bounded by it.
    package var queueMessagesMax: Int
    /// What tests put between the writer and its disk.
    package var hooks = SpoolHooks()

    package init(directory: String, queueMessagesMax: Int = 10_000) {
        self.directory = directory
        self.queueMessagesMax = queueMessagesMax
    }
}

/// Called by the writer thread around each commit, with the number of the batch. A test may block there, to see what
/// gathers meanwhile, or throw, to stand in for a disk that fails before or after the commit took effect.
package struct SpoolHooks: Sendable {
    package var willCommit: @Sendable (_ batch: UInt64) throws(SpoolError) -> Void = { _ throws(SpoolError) in }
    package var didCommit: @Sendable (_ batch: UInt64) throws(SpoolError) -> Void = { _ throws(SpoolError) in }

    package init() {}
}

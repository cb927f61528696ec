import Foundation

/// Files that this process may have open: each client takes one.
enum DescriptorLimit {
    /// Raises the limit as far as the system lets us.
    ///
    /// - Returns: the limit that holds.
    static func raise(to wanted: Int) -> Int {
        var limit = rlimit()
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(files, &limit) == 0 else { return wanted }
        if limit.rlim_cur < rlim_t(wanted) {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(files, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The name of this machine, as its users write it into a browser.
package enum HostName {
    /// Nil when the system does not tell.
    package static func current() -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { name in
            guard let start = name.baseAddress, gethostname(start, name.count - 1) == 0 else { return nil }
            name[name.count - 1] = 0
            return String(validatingCString: start)
        }
    }
}

/// Why TLS cannot be set up from what stands in the files.
package struct TLSProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// The setting to look at: `cert`, `key`, `client_ca` or `ca`.
    package let setting: String
    /// What is wrong, with the path.
    package let message: String

    package var description: String { message }
}

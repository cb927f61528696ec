/// Which Drawbridge this is.
package enum Version {
    package static let number = "0.1.0"
    package static let text = "drawbridge \(number)"
    /// As `$SYS` says it; tools look for the word in the middle.
    static let system = "drawbridge version \(number)"
}

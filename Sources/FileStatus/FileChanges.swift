/// Tells when files that are looked at again and again have changed and stand still: one that is being written is not
/// read in the middle, nor a certificate without the key that comes a moment later.
package struct FileChanges: Sendable {
    /// Of the files as they were last taken.
    private var taken: [FileStatus?]
    /// Of files that have changed since, as they were at the last look.
    private var seen: [FileStatus?]?

    /// - Parameter taken: of the files, from before they were read: a change meanwhile is seen at the next look.
    package init(since taken: [FileStatus?]) { self.taken = taken }

    /// - Returns: true when the files differ from what was taken and are as they were at the last look. From then on
    ///   they count as taken.
    package mutating func haveSettled(_ now: [FileStatus?]) -> Bool {
        guard now != taken else {
            seen = nil
            return false
        }
        guard now == seen else {
            seen = now
            return false
        }
        taken = now
        seen = nil
        return true
    }
}

/// Why a file with messages of a link cannot be written or read. One line each: what is wrong, and what to do.
package enum BacklogError: Error, Sendable, Hashable, CustomStringConvertible {
    case notAbsolute(path: String)
    case file(path: String, reason: String)
    /// A file of this name is there, and is no backlog, or is complete.
    case exists(path: String)
    case notBacklog(path: String)
    case newerFormat(path: String, version: Int)
    /// Its export did not end.
    case unfinished(path: String, node: String)
    /// It was begun by a node, or for a link, that is not this one.
    case ofAnother(path: String, node: String, link: String)
    /// The spool does not know a file that it seems to have begun.
    case forgotten(path: String)
    case damaged(path: String, part: UInt64)
    /// Another node took it in.
    case taken(path: String, node: String)
    /// The messages in it stayed in their queue.
    case copy(path: String)

    package var description: String {
        switch self {
        case .notAbsolute(let path): "\(path) is not an absolute path"
        case .file(let path, let reason): "\(path): \(reason)"
        case .exists(let path): "\(path) exists already; choose another name, nothing was overwritten"
        case .notBacklog(let path): "\(path) is no file that `drawbridge ctl link NAME export` wrote"
        case .newerFormat(let path, let version): "\(path) is of format \(version), which this version does not know"
        case .unfinished(let path, let node):
            "the export into \(path) did not end: give the same export command at node \(node), which wrote it"
        case .ofAnother(let path, let node, let link):
            "\(path) was begun at node \(node) for link \(link), and can only go on there"
        case .forgotten(let path):
            "the spool of this node knows nothing of \(path), although it seems to have begun it; choose another name"
        case .damaged(let path, let part):
            "\(path) is damaged in part \(part); --skip-damaged takes in whatever is sound in it"
        case .taken(let path, let node):
            "\(path) was taken in at node \(node) already; a second time, its messages would arrive twice"
        case .copy(let path):
            "\(path) is a copy: its messages stayed in their queue, and may have gone out since; --copy takes them in all the same"
        }
    }
}

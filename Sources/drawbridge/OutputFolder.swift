import Foundation

/// The folder that a command fills.
enum OutputFolder {
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// Makes it, and those that it is in, where they are not there.
    ///
    /// - Throws: why it cannot be made, in the words of the system.
    static func make(_ path: String) throws(Problem) {
        if isFolder(path) { return }
        let parent = URL(filePath: path).deletingLastPathComponent().relativePath
        if parent != path { try make(parent) }
        guard mkdir(path, 0o777) != 0 else { return }
        let code = errno
        guard code == EEXIST else { throw Problem(description: "\(path): \(String(cString: strerror(code)))") }
        // Somebody else may have made it in between.
        guard isFolder(path) else { throw Problem(description: "\(path) is there and is no folder") }
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
}

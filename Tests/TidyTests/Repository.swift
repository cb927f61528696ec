import Foundation

/// The files of this repository, found from the place of this one.
enum Repository {
    static let root: URL = URL(filePath: #filePath)
        .deletingLastPathComponent()
        .deletingLastPathComponent()
        .deletingLastPathComponent()

    /// What is not ours, is built, or is data.
    private static let skipped: Set<String> = ["node_modules", "Package.resolved"]

    /// Swift files under a folder, in the order of their paths.
    static func swiftFiles(under folder: String) -> [SourceFile] {
        files(under: folder).filter { $0.path.hasSuffix(".swift") }
    }

    /// All text files under a folder ("" for the whole repository), in the order of their paths.
    static func files(under folder: String) -> [SourceFile] {
        let start = folder.isEmpty ? root : root.appending(path: folder)
        var files: [SourceFile] = []
        var folders = [start]
        while let next = folders.popLast() {
            for item in contents(of: next) where !skipped.contains(item.lastPathComponent) {
                // Hidden folders are built or are git's; .ci and .swift-format are ours but hold no rule of these.
                guard !item.lastPathComponent.hasPrefix(".") else { continue }
                if item.hasDirectoryPath {
                    folders.append(item)
                } else if let text = text(of: item) {
                    files.append(SourceFile(path: String(item.path.dropFirst(root.path.count + 1)), text: text))
                }
            }
        }
        return files.sorted { $0.path < $1.path }
    }

    private static func contents(of folder: URL) -> [URL] {
        do {
            return try FileManager.default.contentsOfDirectory(
                at: folder, includingPropertiesForKeys: [.isDirectoryKey])
        } catch {
            return []
        }
    }

    /// Nil for what is not text.
    private static func text(of file: URL) -> String? {
        do {
            return try String(contentsOf: file, encoding: .utf8)
        } catch {
            return nil
        }
    }
}

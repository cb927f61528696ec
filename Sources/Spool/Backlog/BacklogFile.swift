package import BrokerCore
import Foundation
import NIOCore

/// A file that carries messages of a link to another node. Every call opens it anew and is done with it when it returns:
/// whatever dies in between, the file is as the last call left it, or that call was never told to have been made.
package struct BacklogFile: Sendable {
    package let path: String

    /// What is in a file, as far as it can be told.
    package struct Content: Sendable {
        package var header: BacklogHeader
        /// Nil when its export did not end.
        package var seal: BacklogSeal?
        /// The node that took it in; nil when none did.
        package var claim: UInt64?
        /// Of the whole file.
        package var bytes: UInt64
        /// Whether it holds any part.
        package var isEmpty: Bool { bytes <= UInt64(BacklogHeader.bytes) }
    }

    /// Where the first part begins.
    package static let begin = UInt64(BacklogHeader.bytes)

    package init(_ path: String) throws(BacklogError) {
        guard path.hasPrefix("/") else { throw .notAbsolute(path: path) }
        self.path = path
    }

    // MARK: Looking

    /// Nil when there is no file.
    package func content() throws(BacklogError) -> Content? {
        guard FileSize.exists(path) else { return nil }
        return try with(O_RDONLY) { (file) throws(BacklogError) in
            let size = try file.size()
            switch BacklogHeader.read(try file.read(at: 0, upTo: BacklogHeader.bytes)) {
            case .unknown: throw .notBacklog(path: path)
            case .newer(let version): throw .newerFormat(path: path, version: version)
            case .header(let header):
                var content = Content(header: header, seal: nil, claim: try claim(file), bytes: size)
                let length = UInt64(BacklogSeal.bytes)
                guard size >= Self.begin + length else { return content }
                let seal = BacklogSeal(try file.read(at: size - length, upTo: BacklogSeal.bytes))
                if let seal, seal.offset == size - length { content.seal = seal }
                return content
            }
        }
    }

    /// The messages of the part at a place in a complete file, and where the next begins.
    package func part(
        _ number: UInt64,
        at offset: UInt64
    ) throws(BacklogError) -> (messages: [CarriedMessage], damaged: Int, next: UInt64) {
        try with(O_RDONLY) { (file) throws(BacklogError) in
            guard let head = BacklogPart.head(try file.read(at: offset, upTo: BacklogPart.headBytes)),
                head.number == number
            else { throw .damaged(path: path, part: number) }
            let begin = offset + UInt64(BacklogPart.headBytes)
            let part = BacklogPart(head, try file.read(at: begin, upTo: head.bytes))
            return (part.messages, part.damaged, begin + UInt64(head.bytes))
        }
    }

    // MARK: Writing

    /// Makes the file; its name is on the disk when this returns.
    package func create(_ header: BacklogHeader) throws(BacklogError) {
        try with(O_RDWR | O_CREAT | O_EXCL) { (file) throws(BacklogError) in
            try file.write(header.encoded, at: 0)
            try file.synchronize()
        }
        do throws(SpoolError) {
            try SpoolDirectory.synchronize(folder: SpoolDirectory.parent(of: path))
        } catch {
            throw .file(path: path, reason: error.description)
        }
    }

    /// Writes a part behind those that are there. What stands behind `offset` was never confirmed to anybody and goes.
    ///
    /// - Returns: where the next begins. The part is on the disk when this returns.
    package func append(
        _ messages: [CarriedMessage],
        as number: UInt64,
        at offset: UInt64
    ) throws(BacklogError) -> UInt64 {
        let bytes = BacklogPart(number: number, messages: messages).encoded
        return try with(O_RDWR) { (file) throws(BacklogError) in
            try file.truncate(to: offset)
            try file.write(bytes, at: offset)
            try file.synchronize()
            return offset + UInt64(bytes.readableBytes)
        }
    }

    /// Says that the file is complete.
    package func seal(_ file: CarriedFile) throws(BacklogError) {
        let seal = BacklogSeal(parts: file.parts, messages: file.messages, offset: file.offset)
        try with(O_RDWR) { (open) throws(BacklogError) in
            try open.truncate(to: file.offset)
            try open.write(seal.encoded, at: file.offset)
            try open.synchronize()
        }
    }

    /// Notes in the file who takes it in.
    ///
    /// - Returns: false when it cannot be written to.
    package func claim(for node: UInt64) throws(BacklogError) -> Bool {
        guard access(path, W_OK) == 0 else { return false }
        var note = ByteBuffer(integer: node)
        note.writeInteger(note.withUnsafeReadableBytes { XXHash64.hash($0) })
        try with(O_RDWR) { (file) throws(BacklogError) in
            try file.write(note, at: UInt64(BacklogHeader.claimOffset))
            try file.synchronize()
        }
        return true
    }

    private func claim(_ file: OpenFile) throws(BacklogError) -> UInt64? {
        var note = try file.read(at: UInt64(BacklogHeader.claimOffset), upTo: 16)
        let hash = note.getSlice(at: 0, length: min(8, note.readableBytes))?
            .withUnsafeReadableBytes { XXHash64.hash($0) }
        guard let node = note.readInteger(as: UInt64.self), node != 0, let hash,
            note.readInteger(as: UInt64.self) == hash
        else { return nil }
        return node
    }

    // MARK: The file itself

    private func with<Result>(
        _ flags: Int32,
        _ work: (OpenFile) throws(BacklogError) -> Result
    ) throws(BacklogError) -> Result {
        let descriptor = open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw errno == EEXIST ? .exists(path: path) : .file(path: path, reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        return try work(OpenFile(descriptor: descriptor, path: path))
    }
}

/// A descriptor, whose calls are tried until they are done.
private struct OpenFile {
    let descriptor: Int32
    let path: String

    func size() throws(BacklogError) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure() }
        return UInt64(max(0, status.st_size))
    }

    /// Fewer bytes only at the end of the file.
    func read(at offset: UInt64, upTo count: Int) throws(BacklogError) -> ByteBuffer {
        // What a damaged head says of its length is no reason to take so much memory.
        let left = try size()
        let count = Int(clamping: min(UInt64(max(0, count)), left > offset ? left - offset : 0))
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { bytes in
                pread(descriptor, bytes.baseAddress.map { $0 + done }, count - done, Int(offset) + done)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw failure() }
            if got == 0 { break }
            done += got
        }
        return ByteBuffer(bytes: bytes.prefix(done))
    }

    func write(_ buffer: ByteBuffer, at offset: UInt64) throws(BacklogError) {
        var done = 0
        while done < buffer.readableBytes {
            let put = buffer.withUnsafeReadableBytes { bytes in
                pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, Int(offset) + done)
            }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { throw failure() }
            done += put
        }
    }

    func truncate(to offset: UInt64) throws(BacklogError) {
        guard ftruncate(descriptor, Int(offset)) == 0 else { throw failure() }
    }

    func synchronize() throws(BacklogError) {
        guard fsync(descriptor) == 0 else { throw failure() }
    }

    private func failure() -> BacklogError { .file(path: path, reason: String(cString: strerror(errno))) }
}

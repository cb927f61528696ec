package import Foundation

/// One question to a running node over its control socket, by a command: connect, ask, read to the end.
package enum ControlCall {
    package enum Failure: Error, CustomStringConvertible {
        /// Nobody listens.
        case notRunning(directory: String)
        case forbidden(directory: String)
        case broken(reason: String)

        package var description: String {
            switch self {
            case .notRunning(let directory):
                "no node is running on \(directory); --data names the directory of the node to ask"
            case .forbidden(let directory):
                "this user may not ask the node on \(directory); use the user of the node, or root"
            case .broken(let reason):
                "the node did not answer: \(reason)"
            }
        }
    }

    /// - Returns: the status and the body. Blocking.
    package static func ask(
        _ method: String,
        _ path: String,
        body: Data = Data(),
        in directory: String
    ) throws(Failure) -> (status: Int, body: Data) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .broken(reason: reason()) }
        defer { close(descriptor) }
        guard ControlAddress.with(ControlAddress.name, in: directory, { connect(descriptor, $0, $1) }) == 0 else {
            switch errno {
            case ENOENT, ENOTDIR, ECONNREFUSED: throw .notRunning(directory: directory)
            case EACCES, EPERM: throw .forbidden(directory: directory)
            default: throw .broken(reason: reason())
            }
        }
        let head = """
            \(method) \(path) HTTP/1.1\r
            Host: localhost\r
            Content-Type: application/json\r
            Content-Length: \(body.count)\r
            Connection: close\r
            \r\n
            """
        try send(Data(head.utf8) + body, over: descriptor)
        return try parse(readToEnd(descriptor))
    }

    private static func send(_ bytes: Data, over descriptor: Int32) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            // Without a signal: a node that goes away is a sentence, not the end of this process.
            let count = rest.withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .broken(reason: reason()) }
            rest = rest.dropFirst(count)
        }
    }

    private static func readToEnd(_ descriptor: Int32) throws(Failure) -> Data {
        var all = Data()
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .broken(reason: reason()) }
            if count == 0 { return all }
            all.append(contentsOf: chunk.prefix(count))
        }
    }

    /// Status line, fields, empty line, body. Our own node answers with a length and closes.
    private static func parse(_ bytes: Data) throws(Failure) -> (status: Int, body: Data) {
        guard let end = bytes.firstRange(of: Data("\r\n\r\n".utf8)) else {
            throw .broken(reason: "it closed the connection")
        }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        let words = (lines.first ?? "").split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw .broken(reason: "it does not speak HTTP")
        }
        let body = bytes[end.upperBound...]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "content-length" else { continue }
            guard Int(parts[1].trimmingCharacters(in: .whitespaces)) == body.count else {
                throw .broken(reason: "its answer was cut off")
            }
        }
        return (status, Data(body))
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}

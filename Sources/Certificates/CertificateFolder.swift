import Foundation

/// Writes what a site needs to speak TLS into a folder: an authority, a server's pair and a client's pair.
package struct CertificateFolder: Sendable {
    package enum Problem: Error, CustomStringConvertible {
        /// Nothing is overwritten: the key of an authority that clients trust is not made again.
        case exists([String])
        case cannotWrite(path: String, reason: String)
        case cannotRead(path: String)

        package var description: String {
            switch self {
            case .exists(let paths):
                "nothing was written, since there is already \(paths.joined(separator: ", ")); "
                    + "choose another folder, or remove them if nobody uses them"
            case .cannotRead(let path): "cannot read \(path); `drawbridge cert init` makes an authority"
            case .cannotWrite(let path, let reason): "cannot write \(path): \(reason)"
            }
        }
    }

    /// What was asked for.
    package struct Request: Sendable {
        package var hosts: [String]
        package var clientName: String
        package var days: Int
        package var password: String

        package init(hosts: [String], clientName: String, days: Int, password: String) {
            self.hosts = hosts
            self.clientName = clientName
            self.days = days
            self.password = password
        }
    }

    private struct File {
        var name: String
        var bytes: [UInt8]
        var isSecret: Bool
    }

    private let path: String

    package init(path: String) { self.path = path }

    /// Makes everything in memory first, then writes all files or none.
    ///
    /// - Parameter now: seconds since 1970.
    /// - Returns: the paths of the files, in the order in which one reads about them.
    /// - Throws: `Problem`, or `CertificateHost.Invalid` for a host that cannot stand in a certificate.
    package func fill(_ request: Request, now: Int64) throws -> [String] {
        let authority = try CertificateAuthority(
            name: "Drawbridge CA of \(request.hosts.first ?? "this site")", now: now)
        let server = try authority.server(hosts: request.hosts, days: request.days, now: now)
        let client = try authority.client(name: request.clientName, days: request.days, now: now)
        let bundle = try PKCS12File.bytes(
            client,
            authority: authority.pair,
            name: request.clientName,
            password: request.password
        )
        return try write([
            File(name: "ca.crt", bytes: Array(try authority.pair.certificatePEM().utf8), isSecret: false),
            File(name: "ca.key", bytes: Array(authority.pair.keyPEM.utf8), isSecret: true),
            File(name: "server.crt", bytes: Array(try server.certificatePEM().utf8), isSecret: false),
            File(name: "server.key", bytes: Array(server.keyPEM.utf8), isSecret: true),
            File(name: "client.crt", bytes: Array(try client.certificatePEM().utf8), isSecret: false),
            File(name: "client.key", bytes: Array(client.keyPEM.utf8), isSecret: true),
            File(name: "client.p12", bytes: bundle, isSecret: true),
        ])
    }

    /// Adds a client's pair, signed by the authority that is in the folder; `NAME.crt`, `NAME.key` and `NAME.p12`.
    ///
    /// - Parameter name: of letters, digits and `-_.@`, so that it can be a file's; it is the common name as well.
    /// - Throws: `Problem`, or `CertificateAuthority.Problem`.
    package func addClient(name: String, days: Int, password: String, now: Int64) throws -> [String] {
        let authority = try CertificateAuthority(certificatePEM: try read("ca.crt"), keyPEM: try read("ca.key"))
        let client = try authority.client(name: name, days: days, now: now)
        let bundle = try PKCS12File.bytes(client, authority: authority.pair, name: name, password: password)
        return try write([
            File(name: "\(name).crt", bytes: Array(try client.certificatePEM().utf8), isSecret: false),
            File(name: "\(name).key", bytes: Array(client.keyPEM.utf8), isSecret: true),
            File(name: "\(name).p12", bytes: bundle, isSecret: true),
        ])
    }

    /// Whether a client's name can be the name of its files too.
    package static func isFileName(_ name: String) -> Bool {
        !name.isEmpty && !name.hasPrefix(".") && !name.hasPrefix("-")
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
                case UInt8(ascii: "."), UInt8(ascii: "@"): true
                default: false
                }
            }
    }

    private func read(_ name: String) throws(Problem) -> String {
        do {
            return try String(contentsOfFile: path + "/" + name, encoding: .utf8)
        } catch {
            throw .cannotRead(path: path + "/" + name)
        }
    }

    private func write(_ files: [File]) throws(Problem) -> [String] {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw .cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
        let taken = files.map { path + "/" + $0.name }.filter { FileManager.default.fileExists(atPath: $0) }
        guard taken.isEmpty else { throw .exists(taken) }
        var written: [String] = []
        do throws(Problem) {
            for file in files { written.append(try write(file)) }
        } catch {
            // Half a folder would be refused the next time.
            for path in written { unlink(path) }
            throw error
        }
        return written
    }

    /// A file of its own with its final mode from the first moment, so that no key is ever readable by others.
    private func write(_ file: File) throws(Problem) -> String {
        let path = path + "/" + file.name
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file.isSecret ? 0o600 : 0o644)
        guard descriptor >= 0 else {
            if errno == EEXIST { throw .exists([path]) }
            throw .cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var done = 0
        while done < file.bytes.count {
            let count = file.bytes[done...].withUnsafeBytes { bytes in
                systemWrite(descriptor, bytes.baseAddress, bytes.count)
            }
            guard count > 0 else {
                let reason = String(cString: strerror(errno))
                unlink(path)
                throw .cannotWrite(path: path, reason: reason)
            }
            done += count
        }
        return path
    }
}

/// The system's own, which the functions of the folder hide.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

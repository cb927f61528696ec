import ArgumentParser
import BrokerServer
import Certificates
import Foundation

/// `drawbridge cert`: certificates for a site that has no authority of its own.
struct CertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cert",
        abstract: "Make certificates.",
        subcommands: [CertificateInitCommand.self, CertificateClientCommand.self]
    )
}

/// `drawbridge cert init DIR`: an authority, a server's pair and a client's pair.
struct CertificateInitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make an authority (CA), a server's and a client's certificate in a folder.",
        discussion: """
            Writes ca.crt ca.key, server.crt server.key, client.crt client.key as PEM, and client.p12 (PKCS#12) for \
            browsers and phones. Keys can be read by you alone. Nothing is overwritten. The server's certificate names \
            localhost, 127.0.0.1, ::1, this host and every --host. Keep ca.key off the server: whoever has it can make \
            certificates that your clients trust.
            """
    )

    @Argument(help: "The folder; made if it is not there.")
    var folder: String

    @Option(help: "A name or address under which clients reach the server; may be repeated.")
    var host: [String] = []

    @Option(help: "The client's name, which becomes its user name with username = \"cn\".")
    var client = "client"

    @OptionGroup var options: CertificateOptions

    func validate() throws {
        guard (1...64).contains(client.count),
            client.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F })
        else { throw ValidationError("--client must be 1 to 64 characters, without control characters") }
        for host in host {
            do throws(CertificateHost.Invalid) {
                _ = try CertificateHost(host)
            } catch {
                throw ValidationError("--host: \(error)")
            }
        }
    }

    func run() throws {
        let password = options.p12Password ?? RandomPassword.make()
        let paths = try Console.orExit { () throws -> [String] in
            try OutputFolder.make(folder)
            return try CertificateFolder(path: folder).fill(
                CertificateFolder.Request(hosts: hosts, clientName: client, days: options.days, password: password),
                now: Int64(Date().timeIntervalSince1970)
            )
        }
        for path in paths { print(path) }
        if options.p12Password == nil { print("password of client.p12: \(password)") }
        print("names of the server: \(hosts.joined(separator: ", "))")
    }

    /// The host's own name first, since people see the first one; none twice.
    private var hosts: [String] {
        var names = host
        if let own = HostName.current(), CertificateInitCommand.isHost(own) { names.append(own) }
        names += ["localhost", "127.0.0.1", "::1"]
        var seen: Set<String> = []
        return names.filter { seen.insert($0.lowercased()).inserted }
    }

    private static func isHost(_ text: String) -> Bool {
        do throws(CertificateHost.Invalid) {
            _ = try CertificateHost(text)
            return true
        } catch {
            return false
        }
    }
}

/// `drawbridge cert client DIR NAME`: one more client of the authority that `init` made.
struct CertificateClientCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Make one more client's certificate.",
        discussion: "Writes NAME.crt and NAME.key as PEM and NAME.p12 (PKCS#12), signed by ca.key of the folder."
    )

    @Argument(help: "The folder that `drawbridge cert init` made.")
    var folder: String

    @Argument(help: "The client's name, which becomes its user name with username = \"cn\".")
    var name: String

    @OptionGroup var options: CertificateOptions

    func validate() throws {
        guard name.count <= 64, CertificateFolder.isFileName(name) else {
            throw ValidationError("the name must be 1 to 64 letters, digits, `-`, `_`, `.` or `@`")
        }
    }

    func run() throws {
        let password = options.p12Password ?? RandomPassword.make()
        let paths = try Console.orExit {
            try CertificateFolder(path: folder).addClient(
                name: name,
                days: options.days,
                password: password,
                now: Int64(Date().timeIntervalSince1970)
            )
        }
        for path in paths { print(path) }
        if options.p12Password == nil { print("password of \(name).p12: \(password)") }
    }
}

/// What every client's certificate is made with.
struct CertificateOptions: ParsableArguments {
    @Option(help: "Days for which what is made is valid, up to \(CertificateAuthority.daysMax).")
    var days = CertificateAuthority.daysMax

    @Option(help: "The password of the .p12 file; a random one is made and printed otherwise.")
    var p12Password: String?

    func validate() throws {
        guard (1...CertificateAuthority.daysMax).contains(days) else {
            throw ValidationError("--days must be 1 to \(CertificateAuthority.daysMax)")
        }
        if let p12Password, !(1...PKCS12File.passwordCharactersMax).contains(p12Password.count) {
            throw ValidationError("--p12-password must be 1 to \(PKCS12File.passwordCharactersMax) characters")
        }
    }
}

/// A password that nobody has to think of.
enum RandomPassword {
    /// 20 of 32 characters that are not taken for each other: 100 bits.
    static func make() -> String {
        let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789")
        var generator = SystemRandomNumberGenerator()
        return String((0..<20).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] })
    }
}

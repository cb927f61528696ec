import BrokerServer
import Foundation
import Testing

/// Where the password of a link comes from.
@Suite("Passwords that are read at each connect")
struct CredentialSourceTests {
    private func read(_ source: CredentialSource) throws(CredentialSource.Failure) -> String {
        let secret = try source.read(environment: { ["TOKEN": "from outside"][$0] }, files: .disk)
        return String(decoding: secret.bytes, as: UTF8.self)
    }

    private func complaint(_ source: CredentialSource) -> String? {
        do throws(CredentialSource.Failure) {
            _ = try read(source)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("a file is read as it is at that moment, without its line end")
    func file() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "secret-\(UUID().uuidString)").path()
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: path) } }
        for text in ["first\n", "second\r\n", "third"] {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(try read(.file(path)) == text.trimmingCharacters(in: .newlines))
        }
        try "\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(complaint(.file(path)) == "the password is empty: \(path)")
        #expect(complaint(.file(path + "-not")) == "\(path)-not cannot be read: No such file or directory")
    }

    @Test("a variable of the environment")
    func environment() throws {
        #expect(try read(.environment("TOKEN")) == "from outside")
        #expect(complaint(.environment("OTHER")) == "the environment variable OTHER is not set")
    }

    @Test("a command's output, with its arguments, found in PATH, without input")
    func command() throws {
        #expect(try read(.command(["printf", "%s-%s\\n", "a b", "$HOME"])) == "a b-$HOME")
        #expect(try read(.command(["/bin/sh", "-c", "cat; echo token"])) == "token")
    }

    @Test("a command that fails says why, in its own first line")
    func failures() {
        #expect(
            complaint(.command(["/bin/sh", "-c", "echo secret; echo no luck >&2; echo more >&2; exit 3"]))
                == "/bin/sh ended with 3: no luck")
        #expect(complaint(.command(["/bin/sh", "-c", "kill -9 $$"])) == "/bin/sh was ended by signal 9")
        #expect(
            complaint(.command(["/no/such/program"])) == "/no/such/program cannot be run: No such file or directory")
        #expect(complaint(.command(["true"])) == "the password is empty: true")
        #expect(complaint(.command(["yes"])) == "yes printed more than 65537 bytes")
    }

    @Test(
        "a command that does not end in time is killed with all that it started",
        arguments: ["sleep 1000", "sleep 1000 & echo token", "exec >&-; sleep 1000"])
    func patience(script: String) {
        let command = CommandOutput(["/bin/sh", "-c", script], patience: .milliseconds(100), bytesMax: 100)
        #expect(throws: CommandOutput.Failure.self) { try command.run() }
        do throws(CommandOutput.Failure) {
            _ = try command.run()
        } catch {
            #expect(error.description == "/bin/sh did not end within 100ms")
        }
    }
}

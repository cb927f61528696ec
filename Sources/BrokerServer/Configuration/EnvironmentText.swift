/// Text in which `${NAME}` and `${NAME:-default}` stand for variables of the environment; `$${` is a plain `${`.
package enum EnvironmentText {
    package enum Failure: Error, Equatable {
        case unset(String)
        case unclosed
        case badName(String)

        package var message: String {
            switch self {
            case .unset(let name):
                "the environment variable \(name) is not set and has no default (${\(name):-default})"
            case .unclosed: "`${` without `}`; write `$${` for a plain `${`"
            case .badName(let name): "`\(name)` is no name of an environment variable (letters, digits, _)"
            }
        }
    }

    /// A variable that is set to nothing counts as unset for `:-`, as in a shell.
    package static func expand(_ text: String, environment: [String: String]) throws(Failure) -> String {
        var result = ""
        var rest = Substring(text)
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                result += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let end = rest.firstIndex(of: "}") else { throw .unclosed }
                result += try value(of: rest[..<end].dropFirst(2), environment: environment)
                rest = rest[end...].dropFirst()
            } else {
                result += "$"
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }

    private static func value(of variable: Substring, environment: [String: String]) throws(Failure) -> String {
        var name = variable
        var fallback: Substring?
        if let colon = variable.firstIndex(of: ":"), variable[colon...].hasPrefix(":-") {
            name = variable[..<colon]
            fallback = variable[colon...].dropFirst(2)
        }
        guard !name.isEmpty, name.utf8.allSatisfy({ $0 != 0x2D && $0 != 0x2E && Identifier.mayContain($0) }) else {
            throw .badName(String(name))
        }
        let found = environment[String(name)]
        if let fallback { return found.flatMap { $0.isEmpty ? nil : $0 } ?? String(fallback) }
        guard let found else { throw .unset(String(name)) }
        return found
    }
}

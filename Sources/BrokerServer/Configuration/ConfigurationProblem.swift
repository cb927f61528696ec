/// One thing that is wrong with a configuration, and where.
package struct ConfigurationProblem: Sendable, Equatable, CustomStringConvertible {
    /// The file as the operator named it; nil for what belongs to no file.
    package var file: String?
    /// Counted from 1; nil when the whole file is meant.
    package var line: Int?
    /// Counted from 1; only errors of TOML's syntax know it.
    package var column: Int?
    /// The whole key, for example `limits.inflight` or `link[0].out[1].filter`; empty when no key is concerned.
    package var key: String
    /// What was found and what is allowed; never a password.
    package var message: String

    package init(file: String?, line: Int? = nil, column: Int? = nil, key: String = "", message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.key = key
        self.message = message
    }

    /// `drawbridge.toml:12: limits.inflght: unknown key (did you mean ...`, as compilers and editors write it.
    package var description: String {
        var place = file ?? ""
        if let line { place += ":\(line)" }
        if let column { place += ":\(column)" }
        return [place, key, message].filter { !$0.isEmpty }.joined(separator: ": ")
    }
}

/// Everything that is wrong with a configuration, at once, so that it is mended in one go.
package struct ConfigurationProblems: Error, Sendable, Equatable, CustomStringConvertible {
    /// What keeps the configuration from being used; never empty when thrown.
    package var problems: [ConfigurationProblem]
    /// What is only odd.
    package var warnings: [ConfigurationProblem]

    package init(problems: [ConfigurationProblem], warnings: [ConfigurationProblem] = []) {
        self.problems = problems
        self.warnings = warnings
    }

    /// One line per problem, then one per warning.
    package var description: String {
        (problems.map(\.description) + warnings.map { "warning: \($0)" }).joined(separator: "\n")
    }
}

/// What became of one line of a foreign configuration.
package struct ImportRemark: Sendable, Equatable, CustomStringConvertible {
    package enum Fate: String, Sendable, CaseIterable {
        /// It says the same in the new file.
        case mapped
        /// There is nothing to say: it is so anyway, or belongs elsewhere.
        case notNeeded = "not needed"
        /// The new configuration does not do what this line asks for.
        case unsupported
    }

    /// `mosquitto.conf:12`
    package var place: String
    /// The word of the line; its value may be a secret.
    package var key: String
    package var fate: Fate
    /// Why, and what to do instead; empty for most that is mapped.
    package var text: String

    package var description: String {
        LogText.escaped("\(place): \(key): \(fate.rawValue)" + (text.isEmpty ? "" : ": \(text)"))
    }
}

/// Something of the old configuration that was risky, or that is different from now on.
package struct ImportWarning: Sendable, Equatable, CustomStringConvertible {
    /// nil for what no line says.
    package var place: String?
    package var text: String

    package var description: String { LogText.escaped(place.map { "\($0): \(text)" } ?? text) }
}

/// A foreign configuration as ours.
package struct ImportedConfiguration: Sendable {
    package struct File: Sendable, Equatable {
        /// Relative to the folder of the new configuration.
        package var name: String
        package var text: String
        /// For its owner only.
        package var isSecret: Bool
    }

    /// The configuration first, then the files that it names.
    package var files: [File]
    /// One for each line that says something, in the order of the source.
    package var remarks: [ImportRemark]
    package var warnings: [ImportWarning]

    package func remarks(_ fate: ImportRemark.Fate) -> [ImportRemark] { remarks.filter { $0.fate == fate } }
}

/// Why nothing could be imported.
package struct ImportFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package var description: String
}

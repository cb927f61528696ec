/// Text from the network on its way to people: into the log, onto a terminal.
package enum LogText {
    /// Control characters would write lines of their own or speak to a terminal, and format characters would turn the
    /// rest of the line round.
    package static func escaped(_ text: String) -> String {
        var plain = ""
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: plain.unicodeScalars.append("\u{FFFD}")
            default: plain.unicodeScalars.append(scalar)
            }
        }
        return plain
    }
}

/// Text from the network on its way into the log.
enum LogText {
    /// Control characters would write lines of their own or speak to a terminal.
    static func escaped(_ text: String) -> String {
        String(
            text.unicodeScalars.map { scalar in
                switch scalar.value {
                case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029: "\u{FFFD}"
                default: Character(scalar)
                }
            }
        )
    }
}

/// The path of a URL as it stands in a request: it begins with a slash, and is ASCII without spaces.
enum URLPath {
    /// - Parameter mayHaveQuery: a query belongs to the target of a request, and some services want one.
    static func isValid(_ text: String, mayHaveQuery: Bool) -> Bool {
        text.hasPrefix("/")
            && text.utf8.allSatisfy { byte in
                byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "#")
                    && (mayHaveQuery || byte != UInt8(ascii: "?"))
            }
    }
}

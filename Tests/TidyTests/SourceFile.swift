/// One file of the repository, as the rules read it.
struct SourceFile: Sendable {
    /// From the root of the repository, with slashes.
    let path: String
    let lines: [String]
    /// The same lines without comments and without the contents of string literals: what the compiler would act on.
    /// Empty for what is not Swift.
    let code: [String]

    init(path: String, text: String) {
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        code = path.hasSuffix(".swift") ? Self.withoutCommentsAndStrings(text) : []
    }

    /// `path:line`, for messages that an editor can follow.
    func place(_ index: Int) -> String { "\(path):\(index + 1)" }

    /// Takes comments and the contents of string literals out and keeps the lines. Code inside `\( )` of a string goes
    /// as well: the rules look for statements, which do not stand there.
    static func withoutCommentsAndStrings(_ text: String) -> [String] {
        var stripper = Stripper(bytes: Array(text.utf8))
        stripper.run()
        return String(decoding: stripper.code, as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }
}

/// Goes over the bytes of a Swift file once: in a build without optimisation characters would take half a minute.
private struct Stripper {
    let bytes: [UInt8]
    var code: [UInt8] = []
    var index = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func run() {
        while index < bytes.count {
            if stands("//") {
                while index < bytes.count, bytes[index] != Self.newline { index += 1 }
            } else if stands("/*") {
                skip(to: "*/")
            } else if let (hashes, quotes) = opening() {
                code.append(Self.quote)
                index += hashes + quotes
                skipString(hashes: hashes, quotes: quotes)
                code.append(Self.quote)
            } else {
                code.append(bytes[index])
                index += 1
            }
        }
    }

    private static let newline = UInt8(ascii: "\n")
    private static let quote = UInt8(ascii: "\"")
    private static let hash = UInt8(ascii: "#")
    private static let backslash = UInt8(ascii: "\\")

    private func stands(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard index + count <= bytes.count else { return false }
        return (0..<count).allSatisfy { text.utf8Start[$0] == bytes[index + $0] }
    }

    /// Lines are kept wherever we are.
    private mutating func advance(_ count: Int = 1) {
        for _ in 0..<count where index < bytes.count {
            if bytes[index] == Self.newline { code.append(Self.newline) }
            index += 1
        }
    }

    private mutating func skip(to end: StaticString) {
        while index < bytes.count, !stands(end) { advance() }
        advance(end.utf8CodeUnitCount)
    }

    /// `"`, `"""`, and both with any number of `#` in front.
    private func opening() -> (hashes: Int, quotes: Int)? {
        var at = index
        while at < bytes.count, bytes[at] == Self.hash { at += 1 }
        let hashes = at - index
        while at < bytes.count, bytes[at] == Self.quote, at - index - hashes < 3 { at += 1 }
        switch at - index - hashes {
        case 0: return nil
        case 3: return (hashes, 3)
        default: return (hashes, 1)
        }
    }

    private func repeats(_ byte: UInt8, _ count: Int, at start: Int) -> Bool {
        start + count <= bytes.count && (start..<start + count).allSatisfy { bytes[$0] == byte }
    }

    private mutating func skipString(hashes: Int, quotes: Int) {
        while index < bytes.count {
            if repeats(Self.quote, quotes, at: index), repeats(Self.hash, hashes, at: index + quotes) {
                index += quotes + hashes
                return
            }
            guard bytes[index] == Self.backslash, repeats(Self.hash, hashes, at: index + 1) else {
                advance()
                continue
            }
            index += 1 + hashes
            if index < bytes.count, bytes[index] == UInt8(ascii: "(") { skipInterpolation() } else { advance() }
        }
    }

    /// Up to behind the bracket that closes it; strings in it may hold brackets of their own.
    private mutating func skipInterpolation() {
        var depth = 0
        while index < bytes.count {
            if let (hashes, quotes) = opening() {
                index += hashes + quotes
                skipString(hashes: hashes, quotes: quotes)
                continue
            }
            if bytes[index] == UInt8(ascii: "(") { depth += 1 }
            if bytes[index] == UInt8(ascii: ")") { depth -= 1 }
            advance()
            if depth == 0 { return }
        }
    }
}

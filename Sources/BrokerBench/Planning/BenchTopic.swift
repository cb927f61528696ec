package import BrokerServer

/// A topic with variables: `%u` user name, `%c` client id, `%i` number of the client; `%%` is a percent sign.
package struct BenchTopic: Sendable, Equatable {
    private enum Piece: Sendable, Equatable {
        case text(String)
        case username
        case clientID
        case number
    }

    private let pieces: [Piece]

    /// - Throws: a letter behind `%` that means nothing.
    package init(_ text: String) throws(UsageProblem) {
        var pieces: [Piece] = []
        var literal = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            guard character == "%" else {
                literal.append(character)
                continue
            }
            let piece: Piece
            switch rest.popFirst() {
            case "u": piece = .username
            case "c": piece = .clientID
            case "i": piece = .number
            case "%":
                literal.append("%")
                continue
            case let letter:
                throw UsageProblem("Unknown variable \"%\(letter.map(String.init) ?? "")\" in topic \"\(text)\".")
            }
            if !literal.isEmpty { pieces.append(.text(literal)) }
            literal = ""
            pieces.append(piece)
        }
        if !literal.isEmpty { pieces.append(.text(literal)) }
        self.pieces = pieces
    }

    /// Whether two clients of a run may have different topics.
    package var isOfOneClient: Bool { pieces.contains(.clientID) || pieces.contains(.number) }

    package func text(username: String, clientID: String, number: Int) -> String {
        pieces.reduce(into: "") { text, piece in
            switch piece {
            case .text(let literal): text += literal
            case .username: text += username
            case .clientID: text += clientID
            case .number: text += "\(number)"
            }
        }
    }
}

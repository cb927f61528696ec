package import NIOCore

/// What is said by HTTP before a line to an upstream is ours: the request, and the judgement of the answer.
package protocol LinkOpening: Sendable {
    /// The request's bytes.
    var request: String { get }
    /// Why it failed, in words: no answer in time, and a line that was closed instead of one.
    var lateText: String { get }
    var closedText: String { get }

    /// Looks at what was received so far.
    ///
    /// - Parameter received: the head of the answer is taken off when it is there; what follows is the upstream's.
    /// - Returns: false while the head is not complete.
    /// - Throws: when the answer is anything but the one that opens the line.
    func isAccepted(by received: inout ByteBuffer) throws(OpeningRefusal) -> Bool

    /// What went wrong with the line, in words.
    func text(of error: any Error) -> String
}

/// Why an answer opens nothing, for the operator.
package struct OpeningRefusal: Error, Sendable, Equatable {
    package let reason: String

    package init(reason: String) { self.reason = reason }
}

/// The head of an answer by HTTP.
enum AnswerHead {
    /// Nobody says more.
    private static let bytesMax = 16 << 10

    /// Takes it off the front.
    ///
    /// - Parameter endless: what to say of one that does not end.
    /// - Returns: nil while it is not complete.
    static func take(from received: inout ByteBuffer, endless: String) throws(OpeningRefusal) -> String? {
        guard let range = received.readableBytesView.firstRange(of: Array("\r\n\r\n".utf8)) else {
            if received.readableBytes > bytesMax { throw OpeningRefusal(reason: endless) }
            return nil
        }
        return received.readString(length: range.upperBound - received.readerIndex)
    }
}

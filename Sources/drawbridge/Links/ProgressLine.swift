import Foundation

/// One line on the terminal that says how far something has come. Where nobody watches, there is none: a log is told the
/// end.
struct ProgressLine {
    private let isShown = isatty(STDERR_FILENO) == 1
    private var width = 0
    private var shownAt = ContinuousClock.now
    private var isFirst = true

    private static let interval = Duration.milliseconds(200)

    mutating func show(_ text: @autoclosure () -> String) {
        let now = ContinuousClock.now
        guard isShown, isFirst || now - shownAt >= Self.interval else { return }
        (shownAt, isFirst) = (now, false)
        let text = text()
        Console.tell("\r" + text + String(repeating: " ", count: max(0, width - text.count)))
        width = text.count
    }

    /// The line makes room for what is printed next.
    mutating func clear() {
        guard isShown, width > 0 else { return }
        Console.tell("\r" + String(repeating: " ", count: width) + "\r")
        width = 0
    }
}

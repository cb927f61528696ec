/// How much a link knows of what waits for it, and keeps in memory beside the pages.
package struct LaneLimits: Sendable, Equatable {
    /// How much may wait in memory for its place.
    package var live = 1_024
    package var liveBytes = 1 << 20
    /// The spool remembers each message that is done behind one that is not.
    package var goneAhead = 1 << 18
    /// So many messages of a topic or a publisher are little.
    package var light = 1_024
    /// Positions of what is light or has a priority. Beyond them messages wait in their order.
    package var list = 1 << 18
    /// Positions that are asked for at a time.
    package var listed = 256
    /// Topics and publishers. Beyond them nobody is known any more, and nothing goes ahead until the cursor has passed all
    /// that came since.
    package var keys = 1 << 17

    package init() {}
}

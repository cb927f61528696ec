import BrokerCore
import DequeModule
import NIOCore

/// One side of a line.
protocol LineEnd: AnyObject {
    func received(_ bytes: ByteBuffer, on line: Line)
    /// The far side closed, or the line was cut. Told once, and not to the side that closed.
    func lineClosed(_ line: Line)
    /// Bytes that were on their way from this side have arrived.
    func lineDrained(_ line: Line)
}

/// A network connection: bytes arrive late, in order, in other pieces than they were sent in, up to where it is cut.
final class Line {
    enum Side: Int {
        case dialer = 0
        case listener = 1
        var other: Side { self == .dialer ? .listener : .dialer }
    }

    private enum Piece {
        case bytes(ByteBuffer)
        case end
    }

    private struct Direction {
        var pieces: Deque<Piece> = []
        var bytesUnderWay = 0
        var lastDue: UInt64 = 0
        var isStalled = false
        /// Pieces whose time came while the receiver did not read.
        var owed = 0
    }

    let id: Int
    private let simulation: Simulation
    private var dialer: (any LineEnd)?
    private var listener: (any LineEnd)?
    /// Towards the listener, towards the dialer.
    private var directions = [Direction(), Direction()]
    private var isHalfOpen = false
    private(set) var isCut = false
    private var hasClosed = [false, false]

    init(id: Int, _ simulation: Simulation) {
        self.id = id
        self.simulation = simulation
    }

    func attach(_ end: any LineEnd, as side: Side) {
        if side == .dialer { dialer = end } else { listener = end }
    }

    func bytesUnderWay(from side: Side) -> Int { directions[side.rawValue].bytesUnderWay }

    /// Whether what is sent arrives soon: nobody has stopped reading, and nothing vanishes on the way.
    var isSound: Bool { !isCut && !isHalfOpen && !directions.contains(where: \.isStalled) }

    func send(_ bytes: ByteBuffer, from side: Side) {
        guard !isCut, !hasClosed[side.rawValue], bytes.readableBytes > 0 else { return }
        directions[side.rawValue].bytesUnderWay += bytes.readableBytes
        guard !isHalfOpen else { return }
        var bytes = bytes
        while bytes.readableBytes > 0 {
            let all = bytes.readableBytes
            let count = simulation.random.once(in: 3) ? Int.random(in: 1...all, using: &simulation.random) : all
            guard let slice = bytes.readSlice(length: count) else { return }
            put(.bytes(slice), from: side)
        }
    }

    /// What was sent before arrives; nothing more is received.
    func close(from side: Side) {
        guard !hasClosed[side.rawValue] else { return }
        hasClosed[side.rawValue] = true
        guard !isCut, !isHalfOpen else { return }
        put(.end, from: side)
    }

    /// Ends the line for both; of what is under way a beginning may still arrive.
    func cut() {
        guard !isCut else { return }
        for side in [Side.dialer, .listener] {
            // Fewer pieces than planned events: the events in excess find nothing.
            let rest = directions[side.rawValue].pieces
            directions[side.rawValue].pieces.removeAll()
            directions[side.rawValue].isStalled = false
            directions[side.rawValue].owed = 0
            if !isHalfOpen, simulation.random.once(in: 2) {
                let kept = rest.prefix(Int.random(in: 0...rest.count, using: &simulation.random))
                for case .bytes(var bytes) in kept {
                    if simulation.random.once(in: 4) {
                        let length = Int.random(in: 0...bytes.readableBytes, using: &simulation.random)
                        if let slice = bytes.readSlice(length: length) { put(.bytes(slice), from: side) }
                        break
                    }
                    put(.bytes(bytes), from: side)
                }
            }
            put(.end, from: side)
        }
        isCut = true
    }

    func goHalfOpen() {
        isHalfOpen = true
        for index in directions.indices { directions[index].pieces.removeAll() }
    }

    /// The receiver of what `side` sends stops reading, or goes on.
    func stall(from side: Side, _ isStalled: Bool) {
        directions[side.rawValue].isStalled = isStalled
        while !directions[side.rawValue].isStalled, directions[side.rawValue].owed > 0 {
            directions[side.rawValue].owed -= 1
            deliver(from: side)
        }
    }

    /// The run is over: lines and their ends hold each other.
    func tearDown() {
        dialer = nil
        listener = nil
    }

    private func put(_ piece: Piece, from side: Side) {
        directions[side.rawValue].pieces.append(piece)
        let delay = simulation.random.duration(milliseconds: simulation.random.once(in: 10) ? 1...200 : 0...10)
        let due = max(directions[side.rawValue].lastDue, simulation.clock + delay.nanoseconds)
        directions[side.rawValue].lastDue = due
        simulation.schedule(at: due) { self.arrive(from: side) }
    }

    private func arrive(from side: Side) {
        if directions[side.rawValue].isStalled {
            directions[side.rawValue].owed += 1
        } else {
            deliver(from: side)
        }
    }

    private func deliver(from side: Side) {
        guard let piece = directions[side.rawValue].pieces.popFirst() else { return }
        let receiver = side == .dialer ? listener : dialer
        let sender = side == .dialer ? dialer : listener
        let isDeaf = hasClosed[side.other.rawValue]
        switch piece {
        case .bytes(let bytes):
            directions[side.rawValue].bytesUnderWay -= bytes.readableBytes
            if !isDeaf { receiver?.received(bytes, on: self) }
            sender?.lineDrained(self)
        case .end:
            guard !isDeaf else { return }
            hasClosed[side.other.rawValue] = true
            receiver?.lineClosed(self)
        }
    }
}

extension Duration {
    /// Zero for what is negative.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        return UInt64(clamping: seconds) * 1_000_000_000 + UInt64(clamping: attoseconds / 1_000_000_000)
    }
}

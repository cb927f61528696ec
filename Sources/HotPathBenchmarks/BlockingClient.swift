import Foundation
import MQTTCodec
import NIOCore

/// A client of a real broker on a plain socket, which blocks and allocates nothing while messages go to and fro: what
/// this process allocates meanwhile is the broker's.
final class BlockingClient {
    private static let patienceSeconds = 10

    private let socket: Int32
    private var inbound = ByteBuffer()
    private var outbound = ByteBuffer()
    private(set) var tally: PacketTally

    /// Connects, and waits for CONNACK.
    init(_ clientID: String, port: Int, expecting messages: Int) throws(BenchmarkProblem) {
        socket = Foundation.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        tally = PacketTally(expecting: messages)
        inbound.reserveCapacity(256 << 10)
        outbound.reserveCapacity(64 << 10)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw BenchmarkProblem("cannot connect to port \(port)") }
        var isOn: Int32 = 1
        var patience = timeval(tv_sec: Self.patienceSeconds, tv_usec: 0)
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, socklen_t(MemoryLayout<Int32>.size))
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        try send(Wire.connect(clientID, .v3_1_1))
        try hear(.connAck, 1)
    }

    deinit { close(socket) }

    func send(_ bytes: ByteBuffer) throws(BenchmarkProblem) {
        let isWhole = bytes.withUnsafeReadableBytes { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = write(socket, bytes.baseAddress.map { $0 + sent }, bytes.count - sent)
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }
        guard isWhole else { throw BenchmarkProblem("the broker closed the connection") }
    }

    /// Answers all that it heard and did not answer, with one write.
    func answer(_ type: PacketEncoder.AckType) throws(BenchmarkProblem) {
        outbound.clear()
        Wire.writeAnswers(type, to: tally.packetIDs, into: &outbound)
        tally.forgetIDs()
        try send(outbound)
    }

    /// Waits until so many packets of a type came since the last `forget`.
    func hear(_ type: PacketType, _ count: Int) throws(BenchmarkProblem) {
        while tally[type] < count {
            if inbound.readableBytes == 0 { inbound.clear() }
            let read = inbound.writeWithUnsafeMutableBytes(minimumWritableBytes: 64 << 10) { room in
                max(0, Foundation.read(socket, room.baseAddress, room.count))
            }
            guard read > 0 else { throw BenchmarkProblem("\(tally[type]) packets of \(count) came (\(type))") }
            tally.hear(&inbound)
        }
    }

    func forget() { tally.forgetAll() }
}

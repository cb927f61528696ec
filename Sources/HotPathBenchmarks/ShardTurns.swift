import BrokerCore
import MQTTCodec
import NIOCore

/// A shard whose turns are performed as the server's runner does, less the sockets and the disk. Sessions here end with
/// their connection, so that nothing is stored.
final class ShardTurns {
    private let shard: Shard
    private let now = Now(
        instant: Instant(nanoseconds: 1_000_000_000),
        wall: Timestamp(microseconds: 1_800_000_000_000_000)
    )
    private var outbox = Outbox()

    init() {
        var settings = BrokerSettings()
        settings.inflightMax = 65_535
        settings.receiveMaximum = 65_535
        shard = Shard(settings: settings, contents: SpoolContents(), seed: 7, now: now)
    }

    /// - Parameter messages: that it will hear at most in one turn.
    func connect(
        _ clientID: String,
        _ version: ProtocolVersion,
        expecting messages: Int
    ) throws(BenchmarkProblem) -> ShardClient {
        let client = ShardClient(shard.opened(peer: "benchmark", now: now), expecting: messages)
        client.connection.owner = client
        try feed(Wire.connect(clientID, version), from: client)
        perform()
        guard client.tally[.connAck] == 1 else { throw BenchmarkProblem("\(clientID) got no CONNACK") }
        client.tally.forgetAll()
        return client
    }

    /// Bytes that came with one read.
    func feed(_ wire: ByteBuffer, from client: ShardClient) throws(BenchmarkProblem) {
        var bytes = wire
        do throws(DecodeError) {
            while let packet = try client.decoder.next(from: &bytes) {
                shard.received(packet, on: client.connection, now: now)
            }
        } catch {
            throw BenchmarkProblem("\(error)")
        }
    }

    /// The end of a turn.
    func perform() {
        swap(&outbox, &shard.outbox)
        for connection in outbox.touched {
            let bytes = shard.takeBytes(of: connection).joined
            if let client = connection.owner as? ShardClient { client.hear(bytes) }
            shard.recycle(bytes)
        }
        outbox.notices.removeAll(keepingCapacity: true)
        outbox.removeAll()
    }
}

/// A client of such a shard.
final class ShardClient {
    let connection: Connection
    var decoder = PacketDecoder(role: .server)
    var tally: PacketTally
    /// What it sends next, made before anything is counted.
    var answers = ByteBuffer()

    init(_ connection: Connection, expecting messages: Int) {
        self.connection = connection
        tally = PacketTally(expecting: messages)
    }

    func hear(_ bytes: ByteBuffer) {
        var rest = bytes
        tally.hear(&rest)
    }

    /// Makes the answers to all that it heard and did not answer.
    func answer(_ type: PacketEncoder.AckType) {
        answers.clear()
        Wire.writeAnswers(type, to: tally.packetIDs, into: &answers)
        tally.forgetIDs()
    }
}

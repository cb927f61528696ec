package import BrokerCore
package import MQTTCodec
import NIOCore

/// The other end of one connection of a `ShardHarness`: a client, or a link's upstream. It sends what the test says
/// and keeps what arrived until the test asks for it.
package final class ScriptedPeer {
    package let connection: Connection
    package let version: ProtocolVersion
    package internal(set) var isClosed = false
    /// Set when the shard wrote something that is not MQTT for this side.
    package private(set) var failure: DecodeError?

    /// Every byte that arrived.
    package private(set) var rawBytes: [UInt8] = []

    private let harness: ShardHarness
    private var decoder: PacketDecoder
    private var bytes = ByteBuffer()
    private var arrivedPackets: [Packet] = []
    /// Sent while the shard did not want to read.
    private var unread: [Packet] = []
    private var unreadBytes = ByteBuffer()
    /// The server's decoder of what this peer sends as bytes.
    package private(set) var reader: PacketDecoder

    init(_ harness: ShardHarness, _ connection: Connection, _ version: ProtocolVersion, role: PacketDecoder.Role) {
        self.harness = harness
        self.connection = connection
        self.version = version
        reader = PacketDecoder(role: role == .client ? .server : .client)
        // An upstream learns the version from CONNECT.
        decoder = PacketDecoder(role: role, version: role == .client ? version : nil)
    }

    package func sends(_ packets: Packet...) {
        unread += packets
        harness.feeds(self)
    }

    /// Bytes as they come off the network, read by a decoder like that of the server: what is wrong ends the connection
    /// as it would there.
    package func sends(bytes: [UInt8]) {
        unreadBytes.writeBytes(bytes)
        harness.feeds(self)
    }

    /// The bytes that follow are those of a client whose CONNECT was sent as a packet.
    package func startsBehindConnect() { reader = PacketDecoder(role: .server, version: version) }

    /// The network connection is cut, without DISCONNECT.
    package func vanishes() { harness.cuts(self) }

    /// All that arrived since the last question.
    package func takes() -> [Packet] {
        defer { arrivedPackets.removeAll() }
        return arrivedPackets
    }

    /// The PUBLISH packets among what arrived since the last question; the rest is dropped.
    package func takesMessages() -> [Publish] {
        takes().compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
    }

    package func becomesWritable(_ isWritable: Bool) {
        harness.perform { shard, now in shard.writabilityChanged(connection, isWritable: isWritable, now: now) }
    }

    func takeUnread() throws(DecodeError) -> Packet? {
        if !unread.isEmpty { return unread.removeFirst() }
        return unreadBytes.readableBytes == 0 ? nil : try reader.next(from: &unreadBytes)
    }

    func arrived(_ new: ByteBuffer) {
        rawBytes += new.readableBytesView
        bytes.writeImmutableBuffer(new)
        do throws(DecodeError) {
            while let packet = try decoder.next(from: &bytes) { arrivedPackets.append(packet) }
        } catch {
            failure = error
        }
    }
}

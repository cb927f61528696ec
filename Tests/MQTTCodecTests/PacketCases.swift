import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Bytes and what the decoder has to say about them. The table is spread over the files `PacketCases+….swift`.
struct PacketCase: Sendable, CustomTestStringConvertible {
    enum Verdict: Sendable, Equatable {
        case packet(Packet)
        case incomplete
        case error(ReasonCode, statement: String)
    }

    var name: String
    var version: ProtocolVersion
    var role: PacketDecoder.Role
    /// The decoder has not seen CONNECT.
    var isFirst: Bool
    var bytes: [UInt8]
    var verdict: Verdict
    /// These are the bytes that the encoder writes for the packet.
    var isCanonical: Bool

    var testDescription: String { "\(version) \(name)" }

    var decoder: PacketDecoder { PacketDecoder(role: role, version: isFirst ? nil : version) }

    /// The verdict of `decoder` over what is in `buffer`.
    static func verdict(of decoder: inout PacketDecoder, _ buffer: inout ByteBuffer) -> Verdict {
        do throws(DecodeError) {
            guard let packet = try decoder.next(from: &buffer) else { return .incomplete }
            return .packet(packet)
        } catch {
            return .error(error.reason, statement: error.statement)
        }
    }
}

/// Collects cases, one for each version they are about.
struct PacketTable {
    static let three: [ProtocolVersion] = [.v3_1, .v3_1_1]
    static let all = ProtocolVersion.allCases
    static let five: [ProtocolVersion] = [.v5]

    private(set) var cases: [PacketCase] = []
    private let role: PacketDecoder.Role
    private let isFirst: Bool

    init(role: PacketDecoder.Role, isFirst: Bool = false) {
        self.role = role
        self.isFirst = isFirst
    }

    mutating func valid(
        _ name: String,
        _ versions: [ProtocolVersion],
        _ first: UInt8,
        _ body: String,
        isCanonical: Bool = true,
        _ packet: (ProtocolVersion) -> Packet
    ) {
        for version in versions {
            let bytes = WireNotation.packet(first: first, body: body, version: version)
            add(name, version, bytes, .packet(packet(version)), isCanonical)
        }
    }

    mutating func valid(
        _ name: String,
        _ versions: [ProtocolVersion],
        _ first: UInt8,
        _ body: String,
        isCanonical: Bool = true,
        _ packet: Packet
    ) {
        valid(name, versions, first, body, isCanonical: isCanonical) { _ in packet }
    }

    /// - Parameters:
    ///   - statement: of version 5.
    ///   - three: of version 3, when it is another one.
    mutating func invalid(
        _ name: String,
        _ versions: [ProtocolVersion],
        _ first: UInt8,
        _ body: String,
        _ reason: ReasonCode,
        _ statement: String,
        three: String? = nil
    ) {
        for version in versions {
            let bytes = WireNotation.packet(first: first, body: body, version: version)
            add(name, version, bytes, .error(reason, statement: version == .v5 ? statement : three ?? statement))
        }
    }

    /// All bytes given, the fixed header included.
    mutating func raw(
        _ name: String,
        _ versions: [ProtocolVersion],
        _ bytes: String,
        isCanonical: Bool = false,
        _ verdict: PacketCase.Verdict
    ) {
        for version in versions {
            add(name, version, WireNotation.bytes(bytes, version: version), verdict, isCanonical)
        }
    }

    private mutating func add(
        _ name: String,
        _ version: ProtocolVersion,
        _ bytes: [UInt8],
        _ verdict: PacketCase.Verdict,
        _ isCanonical: Bool = false
    ) {
        cases.append(
            PacketCase(
                name: name,
                version: version,
                role: role,
                isFirst: isFirst,
                bytes: bytes,
                verdict: verdict,
                isCanonical: isCanonical
            )
        )
    }
}

enum PacketCases {
    static let all: [PacketCase] =
        connect + connectProperties + fixedHeader + publish + acknowledgements + subscribe + server + properties
}

/// Properties with these values set.
func properties(_ set: (inout Properties.Values) -> Void) -> Properties {
    var properties = Properties()
    set(&properties.values)
    return properties
}

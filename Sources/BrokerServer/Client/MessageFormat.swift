import Foundation
package import MQTTCodec
import NIOCore

/// How `drawbridge sub` prints a message: a subset of what mosquitto_sub's -F knows.
package struct MessageFormat: Sendable {
    package struct Invalid: Error, Sendable {
        package let specifier: String
    }

    private enum Piece: Sendable {
        case bytes([UInt8])
        case topic, payload, hexPayload, length, qos, retained, packetID, time
    }

    /// Nil: the payload alone, or with its topic.
    private let pieces: [Piece]?
    private let isVerbose: Bool
    private let endsLine: Bool

    package init(isVerbose: Bool, endsLine: Bool) {
        self.pieces = nil
        self.isVerbose = isVerbose
        self.endsLine = endsLine
    }

    /// - Parameter text: `%t` topic, `%p` payload, `%x` payload in hexadecimal digits, `%l` its bytes, `%q` QoS, `%r`
    ///   retain flag, `%m` packet identifier, `%U` seconds since 1970, `%%`; and `\n`, `\t`, `\r`, `\0`, `\\`.
    package init(_ text: String, endsLine: Bool) throws(Invalid) {
        var pieces: [Piece] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") || byte == UInt8(ascii: "\\") else {
                pieces.append(.bytes([byte]))
                continue
            }
            let next = rest.popFirst().map { Character(Unicode.Scalar($0)) }
            let piece = byte == UInt8(ascii: "%") ? Self.field(next) : Self.escape(next)
            guard let piece else {
                throw Invalid(specifier: String(Unicode.Scalar(byte)) + (next.map { String($0) } ?? ""))
            }
            pieces.append(piece)
        }
        self.pieces = pieces
        self.isVerbose = false
        self.endsLine = endsLine
    }

    private static func field(_ letter: Character?) -> Piece? {
        switch letter {
        case "%": .bytes([UInt8(ascii: "%")])
        case "t": .topic
        case "p": .payload
        case "x": .hexPayload
        case "l": .length
        case "q": .qos
        case "r": .retained
        case "m": .packetID
        case "U": .time
        default: nil
        }
    }

    private static func escape(_ letter: Character?) -> Piece? {
        switch letter {
        case "n": .bytes([0x0A])
        case "t": .bytes([0x09])
        case "r": .bytes([0x0D])
        case "0": .bytes([0])
        case "\\": .bytes([UInt8(ascii: "\\")])
        default: nil
        }
    }

    /// What is printed; nothing for an empty payload without its topic.
    package func bytes(of publish: Publish) -> [UInt8] {
        let payload = publish.payload.readableBytesView
        var bytes: [UInt8] = []
        if let pieces {
            for piece in pieces { append(piece, of: publish, to: &bytes) }
        } else if isVerbose {
            bytes += publish.topic.utf8
            bytes += payload.isEmpty ? Array(" (null)".utf8) : [UInt8(ascii: " ")] + payload
        } else if payload.isEmpty {
            return []
        } else {
            bytes += payload
        }
        if endsLine { bytes.append(0x0A) }
        return bytes
    }

    private func append(_ piece: Piece, of publish: Publish, to bytes: inout [UInt8]) {
        let payload = publish.payload.readableBytesView
        switch piece {
        case .bytes(let literal): bytes += literal
        case .topic: bytes += publish.topic.utf8
        case .payload: bytes += payload
        case .hexPayload:
            let digits = Array("0123456789abcdef".utf8)
            for byte in payload { bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        case .length: bytes += "\(payload.count)".utf8
        case .qos: bytes += "\(publish.qos.rawValue)".utf8
        case .retained: bytes += (publish.isRetained ? "1" : "0").utf8
        case .packetID: bytes += "\(publish.packetID)".utf8
        case .time: bytes += String(format: "%.9f", Date().timeIntervalSince1970).utf8
        }
    }
}

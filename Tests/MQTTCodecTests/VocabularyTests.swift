import MQTTCodec
import NIOCore
import Testing

@Suite("Strings, properties and reason codes")
struct VocabularyTests {
    @Test("strings are equal by bytes, not by what they look like [5:MQTT-4.7.3-4]")
    func strings() {
        let composed: MQTTString = "\u{E9}"
        let decomposed: MQTTString = "e\u{301}"
        #expect(composed.string == decomposed.string)
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed, composed]).count == 2)
        #expect(decomposed < composed)
        #expect(("" as MQTTString).isEmpty && ("é" as MQTTString).count == 2)
    }

    @Test("equality and hash agree with the bytes for strings of every length around the inline limit")
    func lengths() {
        for length in 0...40 {
            let text = String(repeating: "a", count: length)
            let string = MQTTString(text)
            #expect(string == MQTTString(text))
            #expect(string.hashValue == MQTTString(text).hashValue)
            for position in 0..<length {
                var bytes = Array(text.utf8)
                bytes[position] = UInt8(ascii: "b")
                #expect(string != MQTTString(String(decoding: bytes, as: UTF8.self)))
            }
        }
    }

    @Test("properties without a value are empty and equal")
    func emptyProperties() {
        var properties = Properties()
        #expect(properties.isEmpty)
        properties.reasonString = "x"
        #expect(!properties.isEmpty)
        properties.reasonString = nil
        #expect(properties.isEmpty)
        #expect(properties == Properties())
    }

    @Test("a copy of properties does not change with the original")
    func copies() {
        var first = Properties()
        first.topicAlias = 1
        let second = first
        first.topicAlias = 2
        #expect(second.topicAlias == 1)
        #expect(first != second)
    }

    @Test("return codes of version 3 and reasons stand for each other", arguments: 0...5)
    func returnCodes(code: Int) {
        let byte = UInt8(code)
        #expect(ReasonCode(connectReturnCode: byte)?.connectReturnCode == byte)
        #expect(ReasonCode(connectReturnCode: byte + 6) == nil)
    }

    /// Table 2-6 of the standard by packet: C onnack, A puback and pubrec, R pubrel and pubcomp, S uback, U nsuback,
    /// D isconnect, X for AUTH.
    static let table26: [(UInt8, String)] = [
        (0x00, "CARSUDX"), (0x01, "S"), (0x02, "S"), (0x04, "D"), (0x10, "A"), (0x11, "U"), (0x18, "X"), (0x19, "X"),
        (0x80, "CASUD"), (0x81, "CD"), (0x82, "CD"), (0x83, "CASUD"), (0x84, "C"), (0x85, "C"), (0x86, "C"),
        (0x87, "CASUD"), (0x88, "C"), (0x89, "CD"), (0x8A, "C"), (0x8B, "D"), (0x8C, "CD"), (0x8D, "D"), (0x8E, "D"),
        (0x8F, "SUD"), (0x90, "CAD"), (0x91, "ASU"), (0x92, "R"), (0x93, "D"), (0x94, "D"), (0x95, "CD"), (0x96, "D"),
        (0x97, "CASD"), (0x98, "D"), (0x99, "CAD"), (0x9A, "CD"), (0x9B, "CD"), (0x9C, "CD"), (0x9D, "CD"),
        (0x9E, "SD"), (0x9F, "CD"), (0xA0, "D"), (0xA1, "SD"), (0xA2, "SD"),
    ]

    @Test("each reason code may stand in the packets of table 2-6 and in no other")
    func reasonTable() {
        #expect(Self.table26.map(\.0) == ReasonCode.allCases.map(\.rawValue))
        let places: [(Character, [PacketType])] = [
            ("C", [.connAck]), ("A", [.pubAck, .pubRec]), ("R", [.pubRel, .pubComp]), ("S", [.subAck]),
            ("U", [.unsubAck]), ("D", [.disconnect]), ("X", [.auth]),
        ]
        for (code, letters) in Self.table26 {
            guard let reason = ReasonCode(rawValue: code) else { continue }
            for (letter, types) in places {
                for type in types {
                    #expect(reason.isAllowed(in: type) == letters.contains(letter), "\(reason) in \(type)")
                }
            }
            #expect(!reason.isAllowed(in: .publish))
            #expect(!reason.name.isEmpty)
        }
        let onlyServers = ReasonCode.allCases.filter { !$0.isSentByClient(in: .disconnect) }
        #expect(
            onlyServers.map(\.rawValue) == [
                0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
            ])
        #expect(Set(ReasonCode.allCases.map(\.name)).count == ReasonCode.allCases.count)
    }
}

import MQTTCodec
import NIOCore

extension PacketCases {
    /// Every property in every packet (table 2-4 of the standard), twice in each that may have it, and cut short.
    static let properties: [PacketCase] = {
        var cases: [PacketCase] = []
        for place in places {
            var table = PacketTable(role: place.role, isFirst: place.isFirst)
            for property in table24 {
                let isAllowed = property.places.contains(place.letter)
                let once = place.body(property.bytes)
                let name = "property \(property.bytes.prefix(2)) in \(place.letter)"
                if !isAllowed {
                    table.invalid(name, PacketTable.five, place.first, once, .malformedPacket, "[5:§2.2.2.2]")
                } else if !property.mayRepeat(in: place) {
                    let twice = place.body(property.bytes + property.bytes)
                    table.invalid(name + " twice", PacketTable.five, place.first, twice, .protocolError, "[5:§2.2.2.2]")
                }
                if isAllowed {
                    let cut = place.body(String(property.bytes.prefix(2)))
                    table.invalid(name + " cut", PacketTable.five, place.first, cut, .malformedPacket, "[5:§4.13.1]")
                }
            }
            for unknown in ["00", "04", "07", "0A", "10", "14", "1B", "20", "2B", "7F", "8101", "FFFFFF7F"] {
                table.invalid(
                    "unknown property \(unknown) in \(place.letter)", PacketTable.five, place.first,
                    place.body(unknown), .malformedPacket, "[5:§2.2.2.2]")
            }
            table.invalid(
                "property identifier not shortest in \(place.letter)", PacketTable.five, place.first,
                place.body("A600 <k> <v>"), .malformedPacket, "[5:MQTT-1.5.5-1]")
            cases += table.cases
        }
        return cases
    }()

    /// A packet with a hole for properties. Letters: C onnect, W ill, c onnack, P ublish (from a server), A
    /// cknowledgement, S ubscribe, s uback, U nsubscribe, u nsuback, D isconnect, X for AUTH.
    struct Place: Sendable {
        var letter: Character
        var role: PacketDecoder.Role
        var isFirst = false
        var first: UInt8
        var before: String
        var after = ""

        func body(_ properties: String) -> String { "\(before) [\(properties)] \(after)" }
    }

    static let places: [Place] = [
        Place(letter: "C", role: .server, isFirst: true, first: 0x10, before: "<MQTT> 05 02 0000", after: "<c>"),
        Place(
            letter: "W", role: .server, isFirst: true, first: 0x10, before: "<MQTT> 05 06 0000 [] <c>",
            after: "<w> <g>"),
        Place(letter: "c", role: .client, first: 0x20, before: "00 00"),
        Place(letter: "P", role: .client, first: 0x30, before: "<t>", after: "'hi'"),
        Place(letter: "A", role: .server, first: 0x40, before: "0001 00"),
        Place(letter: "A", role: .server, first: 0x50, before: "0001 00"),
        Place(letter: "A", role: .client, first: 0x62, before: "0001 00"),
        Place(letter: "A", role: .client, first: 0x70, before: "0001 00"),
        Place(letter: "S", role: .server, first: 0x82, before: "0001", after: "<a> 00"),
        Place(letter: "s", role: .client, first: 0x90, before: "0001", after: "00"),
        Place(letter: "U", role: .server, first: 0xA2, before: "0001", after: "<a>"),
        Place(letter: "u", role: .client, first: 0xB0, before: "0001", after: "00"),
        Place(letter: "D", role: .server, first: 0xE0, before: "00"),
        Place(letter: "X", role: .client, first: 0xF0, before: "18"),
    ]

    struct Row: Sendable {
        /// A property with a legal value.
        var bytes: String
        var places: String

        func mayRepeat(in place: Place) -> Bool {
            bytes.hasPrefix("26") || (bytes.hasPrefix("0B") && place.letter == "P")
        }
    }

    /// Table 2-4, written down a second time: a slip in one of the two shows. The sections are those that say what happens
    /// when the property comes twice.
    static let table24: [Row] = [
        // [5:§3.3.2.3.2] [5:§3.1.3.2.3]
        Row(bytes: "01 01", places: "PW"),
        // [5:§3.3.2.3.3] [5:§3.1.3.2.4]
        Row(bytes: "02 00000001", places: "PW"),
        // [5:§3.3.2.3.9] [5:§3.1.3.2.5]
        Row(bytes: "03 <t>", places: "PW"),
        // [5:§3.3.2.3.5] [5:§3.1.3.2.6]
        Row(bytes: "08 <t>", places: "PW"),
        // [5:§3.3.2.3.6] [5:§3.1.3.2.7]
        Row(bytes: "09 <t>", places: "PW"),
        // [5:§3.8.2.1.2]
        Row(bytes: "0B 01", places: "PS"),
        // [5:§3.1.2.11.2] [5:§3.2.2.3.2] [5:§3.14.2.2.2]
        Row(bytes: "11 00000001", places: "CcD"),
        // [5:§3.2.2.3.7]
        Row(bytes: "12 <t>", places: "c"),
        // [5:§3.2.2.3.14]
        Row(bytes: "13 0001", places: "c"),
        // [5:§3.1.2.11.9] [5:§3.2.2.3.17] [5:§3.15.2.2.2]
        Row(bytes: "15 <t>", places: "CcX"),
        // [5:§3.1.2.11.10] [5:§3.2.2.3.18] [5:§3.15.2.2.3]
        Row(bytes: "16 <t>", places: "CcX"),
        // [5:§3.1.2.11.7]
        Row(bytes: "17 01", places: "C"),
        // [5:§3.1.3.2.2]
        Row(bytes: "18 00000001", places: "W"),
        // [5:§3.1.2.11.6]
        Row(bytes: "19 01", places: "C"),
        // [5:§3.2.2.3.15]
        Row(bytes: "1A <t>", places: "c"),
        // [5:§3.2.2.3.16] [5:§3.14.2.2.5]
        Row(bytes: "1C <t>", places: "cD"),
        // [5:§3.2.2.3.9] [5:§3.4.2.2.2] [5:§3.5.2.2.2] [5:§3.6.2.2.2] [5:§3.7.2.2.2] [5:§3.9.2.1.2] [5:§3.11.2.1.2]
        // [5:§3.14.2.2.3] [5:§3.15.2.2.4]
        Row(bytes: "1F <t>", places: "cAsuDX"),
        // [5:§3.1.2.11.3] [5:§3.2.2.3.3]
        Row(bytes: "21 0001", places: "Cc"),
        // [5:§3.1.2.11.5] [5:§3.2.2.3.8]
        Row(bytes: "22 0001", places: "Cc"),
        // [5:§3.3.2.3.4]
        Row(bytes: "23 0001", places: "P"),
        // [5:§3.2.2.3.4]
        Row(bytes: "24 01", places: "c"),
        // [5:§3.2.2.3.5]
        Row(bytes: "25 01", places: "c"),
        // [5:§3.1.2.11.8]
        Row(bytes: "26 <k> <v>", places: "CWcPASsUuDX"),
        // [5:§3.1.2.11.4] [5:§3.2.2.3.6]
        Row(bytes: "27 00000001", places: "Cc"),
        // [5:§3.2.2.3.11]
        Row(bytes: "28 01", places: "c"),
        // [5:§3.2.2.3.12]
        Row(bytes: "29 01", places: "c"),
        // [5:§3.2.2.3.13]
        Row(bytes: "2A 01", places: "c"),
    ]
}

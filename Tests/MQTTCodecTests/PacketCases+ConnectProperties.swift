import MQTTCodec
import NIOCore

extension PacketCases {
    /// CONNECT of version 5 with all that its two property sections may hold, and the values that they may not.
    static let connectProperties: [PacketCase] = {
        var table = PacketTable(role: .server, isFirst: true)
        addSession(&table)
        addWill(&table)
        addInvalid(&table)
        return table.cases
    }()

    private static func addSession(_ table: inout PacketTable) {
        table.valid(
            "all properties of CONNECT", PacketTable.five, 0x10,
            """
            <MQTT> 05 02 0000
            [11 FFFFFFFF 15 <m> 16 0001 00 17 00 19 01 21 FFFF 22 0000 26 <k> <v> 27 00000001] <c>
            """
        ) { version in
            var connect = Connect(version: version, clientID: "c")
            connect.properties = MQTTCodecTests.properties {
                $0.sessionExpiryInterval = .max
                $0.authenticationMethod = "m"
                $0.authenticationData = ByteBuffer(bytes: [0])
                $0.requestProblemInformation = false
                $0.requestResponseInformation = true
                $0.receiveMaximum = 65_535
                $0.topicAliasMaximum = 0
                $0.userProperties = [.init("k", "v")]
                $0.maximumPacketSize = 1
            }
            return .connect(connect)
        }
    }

    private static func addWill(_ table: inout PacketTable) {
        // [5:MQTT-3.1.3-10] [5:MQTT-1.5.7-1] pairs of strings that keep their order.
        table.valid(
            "all properties of a will", PacketTable.five, 0x10,
            """
            <MQTT> 05 06 0000 [] <c>
            [01 00 02 00000003 03 <ct> 08 <r> 09 0001 FF 18 00000005 26 <b> <1> 26 <a> <2> 26 <b> <3>] <w> <g>
            """
        ) { version in
            var will = Connect.Will(topic: "w", payload: ByteBuffer(string: "g"))
            will.properties = MQTTCodecTests.properties {
                $0.payloadFormatIndicator = 0
                $0.messageExpiryInterval = 3
                $0.contentType = "ct"
                $0.responseTopic = "r"
                $0.correlationData = ByteBuffer(bytes: [255])
                $0.willDelayInterval = 5
                $0.userProperties = [.init("b", "1"), .init("a", "2"), .init("b", "3")]
            }
            return .connect(Connect(version: version, clientID: "c", will: will))
        }
    }

    private static func addInvalid(_ table: inout PacketTable) {
        func invalid(_ name: String, _ section: String, _ reason: ReasonCode, _ statement: String) {
            table.invalid(
                name, PacketTable.five, 0x10, "<MQTT> 05 02 0000 \(section) <c>", reason, statement)
        }
        invalid("receive maximum 0", "[21 0000]", .protocolError, "[5:§3.1.2.11.3]")
        invalid("maximum packet size 0", "[27 00000000]", .protocolError, "[5:§3.1.2.11.4]")
        invalid("request response information 2", "[19 02]", .protocolError, "[5:§3.1.2.11.6]")
        invalid("request problem information 2", "[17 02]", .protocolError, "[5:§3.1.2.11.7]")
        invalid("authentication data without method", "[16 0001 00]", .protocolError, "[5:§3.1.2.11.10]")
        // [5:MQTT-1.5.7-1] both strings of a pair obey the rules for strings.
        invalid("name of a user property that is not UTF-8", "[26 0001 FF <v>]", .malformedPacket, "[5:MQTT-1.5.4-1]")
        invalid("value of a user property with NUL", "[26 <k> 0001 00]", .malformedPacket, "[5:MQTT-1.5.4-2]")
        invalid("user property without value", "[26 <k>]", .malformedPacket, "[5:§4.13.1]")
        table.invalid(
            "wildcard in the response topic of a will", PacketTable.five, 0x10,
            "<MQTT> 05 06 0000 [] <c> [08 <+>] <w> <g>", .protocolError, "[5:MQTT-3.3.2-14]")
    }
}

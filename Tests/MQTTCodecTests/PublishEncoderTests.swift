import MQTTCodec
import NIOCore
import Testing

@Suite("One PUBLISH for many receivers")
struct PublishEncoderTests {
    /// What a receiver is sent.
    private struct Receiver {
        var version: ProtocolVersion
        var qos: QoS
        var packetID: UInt16
        var isRetained: Bool
        var isDuplicate: Bool
        var identifiers: [UInt32]

        func packet(_ topic: MQTTString, _ payload: ByteBuffer, _ properties: Properties) -> Publish {
            var publish = Publish(topic: topic, payload: payload, qos: qos, isRetained: isRetained)
            if qos != .atMostOnce {
                publish.packetID = packetID
                publish.isDuplicate = isDuplicate
            }
            if version == .v5 {
                publish.properties = properties
                if !identifiers.isEmpty { publish.properties.subscriptionIdentifiers = identifiers }
            }
            return publish
        }
    }

    private func receivers() -> [Receiver] {
        var list: [Receiver] = []
        for version in ProtocolVersion.allCases {
            for qos in QoS.allCases {
                for flags in 0..<4 {
                    for identifiers: [UInt32] in [[], [1], [1, 128, 16_384, 268_435_455]] {
                        list.append(
                            Receiver(
                                version: version,
                                qos: qos,
                                packetID: UInt16(1 + list.count * 500),
                                isRetained: flags & 1 != 0,
                                isDuplicate: flags & 2 != 0,
                                identifiers: identifiers
                            ))
                    }
                }
            }
        }
        return list
    }

    private func messages() -> [(MQTTString, ByteBuffer, Properties)] {
        var all = Properties()
        all.contentType = "text"
        all.correlationData = ByteBuffer(bytes: [1, 2, 3])
        all.userProperties = [.init("k", "v"), .init("k", "w")]
        var expiry = Properties()
        expiry.messageExpiryInterval = 9
        let long = MQTTString(String(repeating: "level/", count: 40))
        var list: [(MQTTString, ByteBuffer, Properties)] = []
        for properties in [Properties(), expiry, all] {
            for size in [0, 1, 100, 120, 127, 200, 16_300, 16_380, 70_000] {
                list.append(("t", ByteBuffer(repeating: 0x61, count: size), properties))
            }
            list.append((long, ByteBuffer(string: "x"), properties))
        }
        return list
    }

    /// Subscription identifiers among them [5:MQTT-3.3.4-4].
    @Test(
        """
        each receiver gets the bytes that the packet encoder writes, topic first, however often and in whatever order \
        [5:MQTT-3.3.2-1] [311:MQTT-3.3.2-1]
        """)
    func sameBytes() {
        for (topic, payload, properties) in messages() {
            var encoder = PublishEncoder(topic: topic, payload: payload, properties: properties)
            var out = OutBytes()
            var alone = OutBytes()
            var expected = ByteBuffer()
            for receiver in receivers() + receivers().reversed() {
                let packet = Packet.publish(receiver.packet(topic, payload, properties))
                PacketEncoder.write(packet, version: receiver.version, into: &expected)
                let before = out.readableBytes
                let isWritten = encoder.append(
                    to: &out,
                    version: receiver.version,
                    qos: receiver.qos,
                    packetID: receiver.packetID,
                    isRetained: receiver.isRetained,
                    isDuplicate: receiver.isDuplicate,
                    subscriptionIdentifiers: receiver.identifiers
                )
                #expect(isWritten)
                let size = encoder.size(
                    version: receiver.version, qos: receiver.qos,
                    subscriptionIdentifiers: receiver.version == .v5 ? receiver.identifiers : [])
                #expect(out.readableBytes - before == size)
                PublishEncoder.append(
                    topic: topic,
                    payload: payload,
                    properties: properties,
                    to: &alone,
                    version: receiver.version,
                    qos: receiver.qos,
                    packetID: receiver.packetID,
                    isRetained: receiver.isRetained,
                    isDuplicate: receiver.isDuplicate,
                    subscriptionIdentifiers: receiver.identifiers
                )
                if receiver.packetID % 9 == 0 {
                    #expect(out.joined == expected)
                    #expect(alone.joined == expected)
                    out = OutBytes()
                    alone = OutBytes()
                    expected.clear()
                }
            }
            #expect(out.joined == expected)
            #expect(alone.joined == expected)
        }
    }

    @Test("version 3 has no subscription identifiers, in the size neither")
    func versionThreeSize() {
        let encoder = PublishEncoder(topic: "t", payload: ByteBuffer())
        let plain = encoder.size(version: .v3_1_1, qos: .atMostOnce)
        #expect(encoder.size(version: .v3_1_1, qos: .atMostOnce, subscriptionIdentifiers: [1, 2]) == plain)
        #expect(plain == 5)
    }

    @Test("the alias and the subscription identifiers of the publisher go no further [5:MQTT-3.3.2-7]")
    func publishersOwn() throws {
        var properties = Properties()
        properties.topicAlias = 4
        properties.subscriptionIdentifiers = [9]
        properties.contentType = "c"
        var encoder = PublishEncoder(topic: "t", payload: ByteBuffer(), properties: properties)
        var out = OutBytes()
        encoder.append(to: &out, version: .v5, qos: .atMostOnce, packetID: 0, isRetained: false)
        var decoder = PacketDecoder(role: .client, version: .v5)
        guard case .publish(let publish) = try decoder.next(from: &out.rest) else {
            Issue.record("no PUBLISH")
            return
        }
        #expect(publish.properties.topicAlias == nil)
        #expect(publish.properties.subscriptionIdentifiers.isEmpty)
        #expect(publish.properties.contentType == "c")
    }

    @Test("what fits no packet is not written")
    func tooLong() {
        var encoder = PublishEncoder(topic: MQTTString(String(repeating: "a", count: 65_536)), payload: ByteBuffer())
        var out = OutBytes()
        #expect(!encoder.append(to: &out, version: .v5, qos: .atMostOnce, packetID: 0, isRetained: false))
        #expect(out.readableBytes == 0)
        #expect(encoder.size(version: .v5, qos: .atMostOnce) == 0)
    }

    @Test("bytes already in the buffer stay as they are, read or not")
    func appends() {
        var encoder = PublishEncoder(topic: "t", payload: ByteBuffer(string: "hi"))
        var out = OutBytes(ByteBuffer(string: "read|kept"))
        out.rest.moveReaderIndex(forwardBy: 5)
        encoder.append(to: &out, version: .v3_1_1, qos: .atLeastOnce, packetID: 0x4142, isRetained: false)
        #expect(out.rest.readBytes(length: 4) == Array("kept".utf8))
        #expect(Array(out.rest.readableBytesView) == [0x32, 0x07, 0x00, 0x01, 0x74, 0x41, 0x42, 0x68, 0x69])
    }

    @Test("a large payload is the same memory for all receivers, and not that of all that was read with it")
    func shares() throws {
        let read = ByteBuffer(repeating: 7, count: 1 << 20)
        let payload = try #require(read.getSlice(at: 100_000, length: OutBytes.sharedBytesMin))
        var encoder = PublishEncoder(topic: "t", payload: payload)
        var addresses: Set<UnsafeRawPointer> = []
        for version in ProtocolVersion.allCases {
            var out = OutBytes(ByteBuffer(string: "before"))
            encoder.append(to: &out, version: version, qos: .atLeastOnce, packetID: 9, isRetained: false)
            out.rest.writeString("behind")
            #expect(out.parts.count == 2 && out.rest.readableBytes == 6)
            guard case .large(_, let shared)? = out.parts.last else {
                Issue.record("not shared")
                return
            }
            #expect(shared.storageCapacity <= 2 * OutBytes.sharedBytesMin)
            shared.withUnsafeReadableBytes { bytes in
                if let address = bytes.baseAddress { addresses.insert(address) }
            }
            var expected = ByteBuffer(string: "before")
            let publish = Publish(topic: "t", payload: payload, qos: .atLeastOnce, packetID: 9)
            PacketEncoder.write(.publish(publish), version: version, into: &expected)
            expected.writeString("behind")
            #expect(out.joined == expected && out.readableBytes == expected.readableBytes)
        }
        #expect(addresses.count == 1)
        // One byte less is copied, so that a turn stays one write.
        var out = OutBytes()
        PublishEncoder.append(
            topic: "t", payload: ByteBuffer(repeating: 7, count: OutBytes.sharedBytesMin - 1), to: &out, version: .v5,
            qos: .atMostOnce, packetID: 0, isRetained: false)
        #expect(out.parts.isEmpty)
    }
}

import BrokerServer
import MQTTCodec
import NIOCore
import Testing

@Suite("The session of a client")
struct ClientSessionTests {
    private func connected(window: Int = 20, version: ProtocolVersion = .v5, _ answer: ConnAck? = nil) -> ClientSession
    {
        var session = ClientSession(connect: Connect(version: version, clientID: "c"), window: window)
        _ = session.opened()
        _ = session.received(.connAck(answer ?? ConnAck(reason: .success)))
        return session
    }

    private func message(_ qos: QoS, _ id: UInt16 = 0, isDuplicate: Bool = false) -> Publish {
        Publish(topic: "a", payload: ByteBuffer(string: "x"), qos: qos, packetID: id, isDuplicate: isDuplicate)
    }

    private func ack(_ id: UInt16, _ reason: ReasonCode = .success) -> PublishAck {
        PublishAck(packetID: id, reason: reason)
    }

    @Test("a message is settled by PUBACK, or by PUBCOMP, and by nothing else")
    func settled() {
        var session = connected()
        #expect(session.publish(message(.atLeastOnce), number: 1) == .send(.publish(message(.atLeastOnce, 1))))
        #expect(session.publish(message(.exactlyOnce), number: 2) == .send(.publish(message(.exactlyOnce, 2))))
        #expect(session.received(.pubAck(ack(2))) == [])
        #expect(session.received(.pubComp(ack(1))) == [])
        #expect(session.received(.pubAck(ack(1))) == [.settled(number: 1, .success)])
        #expect(session.received(.pubRec(ack(2))) == [.send(.pubRel(ack(2)))])
        #expect(session.received(.pubComp(ack(2))) == [.settled(number: 2, .success)])
        #expect(session.waitingCount == 0)
    }

    @Test("a refusal settles, and after PUBREC no PUBREL follows")
    func refused() {
        var session = connected()
        _ = session.publish(message(.exactlyOnce), number: 1)
        #expect(session.received(.pubRec(ack(1, .notAuthorized))) == [.settled(number: 1, .notAuthorized)])
    }

    @Test("a message waits when as many as both sides allow are on their way [5:MQTT-3.3.4-7]", arguments: [1, 2, 3])
    func window(size: Int) {
        var answer = ConnAck(reason: .success)
        answer.properties.receiveMaximum = 2
        var session = connected(window: size, answer)
        for number in 1...min(size, 2) { _ = session.publish(message(.atLeastOnce), number: number) }
        #expect(session.publish(message(.atLeastOnce), number: 9) == .wait)
        #expect(session.publish(message(.atMostOnce), number: 10) == .sendAndForget(.publish(message(.atMostOnce))))
        _ = session.received(.pubAck(ack(1)))
        #expect(session.publish(message(.atLeastOnce), number: 9) != .wait)
    }

    @Test("what the broker said that it does not take is not sent")
    func limits() {
        var answer = ConnAck(reason: .success)
        answer.properties.maximumQoS = .atLeastOnce
        answer.properties.maximumPacketSize = 50
        answer.properties.retainAvailable = false
        var session = connected(answer)
        #expect(session.publish(message(.exactlyOnce), number: 1) == .refused(.qosNotSupported))
        var big = message(.atLeastOnce)
        big.payload = ByteBuffer(repeating: 0, count: 50)
        #expect(session.publish(big, number: 2) == .refused(.packetTooLarge))
        var retained = message(.atMostOnce)
        retained.isRetained = true
        #expect(session.publish(retained, number: 3) == .refused(.retainNotSupported))
    }

    @Test("a message comes before what acknowledges it, and one of QoS 2 once [5:MQTT-4.3.3-10]")
    func delivered() {
        var session = connected()
        let one = message(.atLeastOnce, 7)
        #expect(session.received(.publish(one)) == [.deliver(one), .send(.pubAck(ack(7)))])
        let two = message(.exactlyOnce, 8)
        #expect(session.received(.publish(two)) == [.deliver(two), .send(.pubRec(ack(8)))])
        #expect(session.received(.publish(message(.exactlyOnce, 8, isDuplicate: true))) == [.send(.pubRec(ack(8)))])
        #expect(session.received(.pubRel(ack(8))) == [.send(.pubComp(ack(8)))])
        #expect(session.received(.publish(two)) == [.deliver(two), .send(.pubRec(ack(8)))])
    }

    @Test("after an outage what was not acknowledged is repeated with its identifier [5:MQTT-4.4.0-1]")
    func repeated() {
        var session = connected()
        _ = session.publish(message(.exactlyOnce), number: 1)
        _ = session.publish(message(.atLeastOnce), number: 2)
        _ = session.received(.pubRec(ack(1)))
        session.lost()
        #expect(session.publish(message(.atLeastOnce), number: 3) == .wait)
        _ = session.opened()
        let answer = ConnAck(reason: .success, isSessionPresent: true)
        #expect(
            session.received(.connAck(answer)) == [
                .accepted(answer), .send(.pubRel(ack(1))), .send(.publish(message(.atLeastOnce, 2, isDuplicate: true))),
            ]
        )
    }

    @Test("a broker that forgot the session gets as new what it never took")
    func forgotten() {
        var session = connected()
        _ = session.publish(message(.exactlyOnce), number: 1)
        _ = session.publish(message(.atLeastOnce), number: 2)
        _ = session.received(.pubRec(ack(1)))
        session.lost()
        _ = session.opened()
        let answer = ConnAck(reason: .success)
        #expect(
            session.received(.connAck(answer)) == [
                .accepted(answer), .settled(number: 1, .success), .send(.publish(message(.atLeastOnce, 2))),
            ]
        )
    }

    @Test("nothing but CONNACK begins, and nothing counts after the end")
    func order() {
        var session = ClientSession(connect: Connect(version: .v5, clientID: "c"), window: 1)
        _ = session.opened()
        guard case .broken = session.received(.pingResp).first else {
            Issue.record("a PINGRESP is taken for an answer")
            return
        }
        #expect(session.received(.connAck(ConnAck(reason: .banned))) == [.refused(.banned)])
        #expect(session.leave() == nil)
        var other = connected()
        #expect(other.leave() == .disconnect(Disconnect()))
        #expect(other.received(.publish(message(.atMostOnce))) == [])
    }
}

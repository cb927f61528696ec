/// One MQTT control packet of version 3.1, 3.1.1 or 5.0 (§3). Fields that a version does not have are empty or at
/// their default there.
package enum Packet: Sendable, Equatable {
    /// Boxed: it is by far the largest and comes once per connection, and PUBLISH should move few bytes.
    indirect case connect(Connect)
    case connAck(ConnAck)
    case publish(Publish)
    case pubAck(PublishAck)
    case pubRec(PublishAck)
    case pubRel(PublishAck)
    case pubComp(PublishAck)
    case subscribe(Subscribe)
    case subAck(SubAck)
    case unsubscribe(Unsubscribe)
    case unsubAck(UnsubAck)
    case pingReq
    case pingResp
    case disconnect(Disconnect)
    case auth(Auth)
}

import BrokerCore
import MQTTCodec

extension GatewayRefusal {
    /// Why the core did not take a message.
    init(_ reason: ReasonCode) {
        self =
            switch reason {
            case .quotaExceeded: .full
            case .topicNameInvalid: .topic
            case .qosNotSupported: .qosNotSupported
            case .retainNotSupported: .retainNotSupported
            default: .notAllowed
            }
    }
}

/// The gateway of a running node: questions travel by mail to the shard.
extension Gateway {
    init(
        _ shard: SharedShard,
        _ metrics: MetricsRoute,
        _ certificates: CertificateWatch,
        _ authenticator: Authenticator?
    ) {
        self.init(
            publish: { request in
                try await withCheckedThrowingContinuation { shard.post(.publish(request, $0)) }
            },
            health: { await withCheckedContinuation { shard.post(.health($0)) } },
            metrics: { await metrics.answer(onWebPort: true) },
            certificates: { certificates.statuses },
            login: { login, answer in
                guard let authenticator else { return .accepted(username: nil) }
                return authenticator.decide(login, answer)
            }
        )
    }
}

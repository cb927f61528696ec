package import BrokerCore

/// What the web port needs from the broker: questions that may be asked from any thread.
package struct Gateway: Sendable {
    /// Hands a message to the broker. Returns after the commit of everything that it had to store; throws a
    /// `GatewayRefusal` (or anything else, which counts as `.draining`) when the message was not accepted.
    package let publish: @Sendable (GatewayPublish) async throws -> GatewayReceipt
    package let health: @Sendable () async -> NodeHealth
    /// The answer to a request for metrics.
    package let metrics: @Sendable () async -> HTTPAnswer
    /// The certificates of this node, for the same question.
    package let certificates: @Sendable () -> [CertificateStatus]
    /// Who is this? The answer is called once, on any thread, when the result is nil; see `Authenticator.decide`.
    package let login: @Sendable (Login, @escaping Authenticator.Answer) -> AuthenticationVerdict?

    package init(
        publish: @escaping @Sendable (GatewayPublish) async throws -> GatewayReceipt,
        health: @escaping @Sendable () async -> NodeHealth,
        metrics: @escaping @Sendable () async -> HTTPAnswer = { MetricsRoute.off },
        certificates: @escaping @Sendable () -> [CertificateStatus] = { [] },
        login: @escaping @Sendable (Login, @escaping Authenticator.Answer) -> AuthenticationVerdict? = { _, _ in
            .accepted(username: nil)
        }
    ) {
        self.publish = publish
        self.health = health
        self.metrics = metrics
        self.certificates = certificates
        self.login = login
    }
}

/// Why the broker did not take a message.
package enum GatewayRefusal: Error, Sendable, Equatable {
    /// The node is shutting down: 503.
    case draining
    /// The spool or a receiver is full, or the disk is sick; nothing was delivered: 507.
    case full
    /// The access rules forbid the topic: 403.
    case notAllowed
    /// The topic is longer, or has more levels, than the port takes, or characters that are not allowed: 400.
    case topic
    /// The port takes no such QoS, or nothing is retained here: 403.
    case qosNotSupported
    case retainNotSupported
}

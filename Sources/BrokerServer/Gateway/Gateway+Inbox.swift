/// The gateway of a running node: questions travel by mail to the shard.
extension Gateway {
    init(_ inbox: Inbox, _ certificates: CertificateWatch) {
        self.init(
            publish: { request in
                try await withCheckedThrowingContinuation { inbox.post(.publish(request, $0)) }
            },
            health: { await withCheckedContinuation { inbox.post(.health($0)) } },
            certificates: { certificates.statuses }
        )
    }
}

package import BrokerCore

extension NetworkAddress: ExpressibleByStringLiteral {
    /// For tests, which write no wrong one.
    package init(stringLiteral text: String) {
        guard let address = NetworkAddress(text) else { preconditionFailure("\(text) is no address") }
        self = address
    }
}

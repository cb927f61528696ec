package import MQTTCodec

/// What a shard wants done. The runner performs it at the end of a turn: records are appended to the spool first,
/// then bytes are sent, then connections are closed. Buffers are reused from turn to turn.
package struct Outbox {
    /// Appended together under `Shard.ticket`.
    package var records: [SpoolRecord] = []
    package var loads: [LoadRequest] = []
    /// Connections with bytes in `Connection.out`, each once.
    package var touched: [Connection] = []
    /// To be closed once what was sent to them is out.
    package var closes: [Connection] = []
    /// Connections that may be read from again: `Connection.isHeld` went back to false.
    package var resumed: [Connection] = []
    package var receipts: [Receipt] = []
    /// What operators wanted done and is on disk now, by the tokens that were given for it.
    package var errands: [UInt64] = []
    package var dials: [Dial] = []
    /// Each is answered by `Shard.authenticated`.
    package var questions: [AuthenticationRequest] = []
    package var notices: [Notice] = []
    /// Links that are something else than before; whoever knows their queues answers by `Shard.tellDetail`.
    package var changedLinks: [Link] = []
    /// Empty unless `BrokerSettings.keepsLedger`; the runner of a test takes the lines with the records of their turn.
    package var ledger: [LedgerLine] = []

    package init() {}

    package var isEmpty: Bool {
        records.isEmpty && loads.isEmpty && touched.isEmpty && closes.isEmpty && resumed.isEmpty && receipts.isEmpty
            && errands.isEmpty && dials.isEmpty && questions.isEmpty && notices.isEmpty && changedLinks.isEmpty
            && ledger.isEmpty
    }

    /// Everything is performed; the buffers stay.
    package mutating func removeAll() {
        touched.removeAll(keepingCapacity: true)
        closes.removeAll(keepingCapacity: true)
        resumed.removeAll(keepingCapacity: true)
        receipts.removeAll(keepingCapacity: true)
        errands.removeAll(keepingCapacity: true)
        dials.removeAll(keepingCapacity: true)
        questions.removeAll(keepingCapacity: true)
        notices.removeAll(keepingCapacity: true)
        changedLinks.removeAll(keepingCapacity: true)
    }

    /// The answer to a publish that came through the gateway.
    package struct Receipt {
        package let token: UInt64
        package let receipt: GatewayReceipt
    }

    /// Asks for a connection to a link's upstream; answered by `Shard.dialed` or `Shard.dialFailed`.
    package struct Dial {
        package let link: Link
        package let name: MQTTString
        /// `Link.epoch`, for the answer.
        package let epoch: UInt64
        /// Which of the upstream's addresses, from 0.
        package let address: Int
    }
}

/// Something that an operator wants in the log. Never holds payloads or passwords.
package struct Notice: Sendable, Equatable {
    package enum Level: Sendable {
        case debug, info, warning
        /// Something that access rules deny: the configuration says how important that is.
        case denial
    }

    package var level: Level
    package var text: String
    package var clientID: MQTTString?
    package var link: MQTTString?
    package var detail: String?

    init(_ level: Level, _ text: String, clientID: MQTTString? = nil, link: MQTTString? = nil, detail: String? = nil) {
        self.level = level
        self.text = text
        self.clientID = clientID
        self.link = link
        self.detail = detail
    }
}

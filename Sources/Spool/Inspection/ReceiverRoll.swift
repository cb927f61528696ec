import BrokerCore

/// Who is written in a file as a receiver, and what each of them is done with: enough to say who waits for a row.
struct ReceiverRoll {
    struct Entry {
        let receiver: ReceiverID
        let kind: ReceiverKind
        /// The client id of a session, the name of a link, the filter of a share group.
        let name: String
        let lowWater: UInt64
        let exceptions: Set<UInt64>

        func waits(for position: UInt64) -> Bool { position > lowWater && !exceptions.contains(position) }
    }

    /// In the order of their numbers.
    private(set) var entries: [Entry] = []
    private(set) var places: [ReceiverID: Int] = [:]
    /// What is wrong with receivers, a sentence each. One of no known kind is no entry.
    private(set) var damage: [String] = []

    init(_ connection: SQLConnection) throws(SpoolError) {
        let rows = try connection.prepare(ReceiverRow.select)
        defer { rows.reset() }
        while try rows.step() {
            let row = ReceiverRow(rows)
            let receiver = row.receiver
            let exceptions = row.exceptions
            if exceptions == nil {
                damage.append("receiver \(receiver.number): its list of positions cannot be read")
            }
            guard let kind = row.kind else {
                damage.append("receiver \(receiver.number): it is of no known kind")
                continue
            }
            places[receiver] = entries.count
            entries.append(
                Entry(
                    receiver: receiver,
                    kind: kind,
                    name: row.name,
                    lowWater: row.lowWater,
                    exceptions: Set(exceptions ?? [])
                )
            )
        }
    }

    /// Those of a row's receivers that still wait for it, as places in `entries`.
    func waiting(for position: UInt64, among deliveries: [Delivery]) -> [Int] {
        deliveries.compactMap { delivery in
            guard let place = places[delivery.receiver], entries[place].waits(for: position) else { return nil }
            return place
        }
    }
}

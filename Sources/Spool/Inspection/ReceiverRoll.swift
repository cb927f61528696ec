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
        let rows = try connection.prepare(
            "SELECT number, kind, name, low_water, exceptions FROM receiver ORDER BY number"
        )
        defer { rows.reset() }
        while try rows.step() {
            let receiver = ReceiverID(rows.number(0))
            let lowWater = rows.number(3)
            let exceptions = PositionList.read(rows.buffer(4), above: lowWater)
            if exceptions == nil {
                damage.append("receiver \(receiver.number): its list of positions cannot be read")
            }
            guard let kind = ReceiverKind(rawValue: rows.integer(1)) else {
                damage.append("receiver \(receiver.number): it is of no known kind")
                continue
            }
            places[receiver] = entries.count
            entries.append(
                Entry(
                    receiver: receiver,
                    kind: kind,
                    name: rows.string(2),
                    lowWater: lowWater,
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

import BrokerCore

/// The tables, and how an older file becomes a newer one. `PRAGMA user_version` counts the steps that a file has seen.
enum SpoolSchema {
    /// The schema that this program writes.
    static var version: Int { steps.count }

    /// "DBsp": tells a spool from any other SQLite file.
    static let applicationID: Int64 = 0x4442_7370

    private static let steps: [String] = [
        """
        -- One row. The next position stands here because SQLite reuses row numbers once the highest rows are gone,
        -- and an empty table is the normal state. `batch` tells after a failure whether a commit took effect.
        CREATE TABLE node (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            number INTEGER NOT NULL,
            next_position INTEGER NOT NULL,
            next_receiver INTEGER NOT NULL,
            batch INTEGER NOT NULL,
            wall_mark INTEGER NOT NULL,
            boot_count INTEGER NOT NULL,
            is_open INTEGER NOT NULL
        );
        -- One row a message, however many wait for it: `receivers` lists them.
        CREATE TABLE message (
            position INTEGER PRIMARY KEY,
            id BLOB NOT NULL,
            topic TEXT NOT NULL,
            payload BLOB NOT NULL,
            qos INTEGER NOT NULL,
            flags INTEGER NOT NULL,
            properties BLOB NOT NULL,
            expiry INTEGER,
            receivers BLOB NOT NULL,
            checksum INTEGER NOT NULL
        );
        -- A message waits for a receiver that its row lists if its position is above `low_water` and not among the
        -- `exceptions`.
        CREATE TABLE receiver (
            number INTEGER PRIMARY KEY,
            kind INTEGER NOT NULL,
            name TEXT NOT NULL,
            expiry INTEGER NOT NULL,
            disconnected_at INTEGER,
            low_water INTEGER NOT NULL,
            exceptions BLOB NOT NULL
        );
        CREATE TABLE subscription (
            receiver INTEGER NOT NULL,
            filter TEXT NOT NULL,
            options INTEGER NOT NULL,
            identifier INTEGER,
            PRIMARY KEY (receiver, filter)
        ) WITHOUT ROWID;
        -- Packet identifiers of QoS 2 that wait for PUBREL.
        CREATE TABLE inbound (
            receiver INTEGER NOT NULL,
            packet_id INTEGER NOT NULL,
            PRIMARY KEY (receiver, packet_id)
        ) WITHOUT ROWID;
        -- Packet identifiers of QoS 2 that wait for PUBREC, or for PUBCOMP if released.
        CREATE TABLE outbound (
            receiver INTEGER NOT NULL,
            packet_id INTEGER NOT NULL,
            position INTEGER NOT NULL,
            is_released INTEGER NOT NULL,
            PRIMARY KEY (receiver, packet_id)
        ) WITHOUT ROWID;
        CREATE TABLE retained (
            topic TEXT PRIMARY KEY,
            id BLOB NOT NULL,
            payload BLOB NOT NULL,
            qos INTEGER NOT NULL,
            flags INTEGER NOT NULL,
            properties BLOB NOT NULL,
            expiry INTEGER,
            checksum INTEGER NOT NULL
        ) WITHOUT ROWID;
        """,
        """
        -- Wills of clients that are connected, or whose delay runs.
        CREATE TABLE will (
            client_id TEXT PRIMARY KEY,
            id BLOB NOT NULL,
            topic TEXT NOT NULL,
            payload BLOB NOT NULL,
            qos INTEGER NOT NULL,
            flags INTEGER NOT NULL,
            properties BLOB NOT NULL,
            expiry INTEGER,
            delay INTEGER NOT NULL,
            checksum INTEGER NOT NULL
        ) WITHOUT ROWID;
        -- What could not be stored, or was found damaged: kept for people, never read again by this program.
        CREATE TABLE aside (
            number INTEGER PRIMARY KEY,
            wall INTEGER NOT NULL,
            reason TEXT NOT NULL,
            kind TEXT NOT NULL,
            position INTEGER,
            name TEXT,
            payload BLOB
        );
        """,
        """
        -- The share group whose queue the message of an exchange stands in; NULL for the receiver's own.
        ALTER TABLE outbound ADD COLUMN source INTEGER;
        """,
        """
        -- Messages of QoS 2 that came over links lately, 16 bytes each, those of one batch together, in the order of
        -- `number`: by the node and the receiver there whose queue they left. From here on properties of messages may
        -- have marks.
        CREATE TABLE stream (
            node INTEGER NOT NULL,
            receiver INTEGER NOT NULL,
            number INTEGER NOT NULL,
            ids BLOB NOT NULL,
            PRIMARY KEY (node, receiver, number)
        ) WITHOUT ROWID;
        """,
        """
        -- Files with messages of links that this node wrote (way 0) or took in (way 1), and how far they have come: what
        -- is in a file is in no queue, and comes in once.
        CREATE TABLE carried (
            number INTEGER PRIMARY KEY,
            file BLOB NOT NULL,
            way INTEGER NOT NULL,
            link TEXT NOT NULL,
            parts INTEGER NOT NULL,
            messages INTEGER NOT NULL,
            offset INTEGER NOT NULL,
            UNIQUE (file, way)
        );
        """,
    ]

    /// Looks whether the file is a spool that this program knows, without changing it.
    /// - Returns: the schema of the file; 0 when it is new.
    @discardableResult
    static func identify(_ connection: SQLConnection) throws(SpoolError) -> Int {
        let found = Int(try connection.integer("PRAGMA user_version") ?? 0)
        let mark = try connection.integer("PRAGMA application_id") ?? 0
        if mark == applicationID, found > version { throw .newerSchema(found: found, known: version) }
        let tables = try connection.integer("SELECT count(*) FROM sqlite_schema") ?? 0
        guard found > 0 ? mark == applicationID : tables == 0 else {
            throw .corrupt(detail: "spool.sqlite belongs to another program")
        }
        return found
    }

    /// Brings the file to the schema of this program, one transaction a step.
    static func migrate(_ connection: SQLConnection) throws(SpoolError) {
        let found = try identify(connection)
        for (index, step) in steps.enumerated().dropFirst(found) {
            try connection.run(
                """
                BEGIN IMMEDIATE;
                \(step)
                PRAGMA application_id = \(applicationID);
                PRAGMA user_version = \(index + 1);
                COMMIT;
                """,
                while: "migrating to schema \(index + 1)"
            )
        }
    }

    /// Reads back what the promises rest on; a setting that SQLite silently ignored is an error.
    static func verify(_ connection: SQLConnection, mode: DurabilityMode) throws(SpoolError) {
        let synchronous = String(mode.synchronous)
        for (name, wanted) in [("journal_mode", "wal"), ("synchronous", synchronous), ("auto_vacuum", "2")] {
            let found = try connection.text("PRAGMA \(name)") ?? "nothing"
            guard found == wanted else { throw .pragma(name: name, found: found, wanted: wanted) }
        }
    }

    /// Looks for damage in the pages of the file. Complexity: reads the whole file.
    static func check(_ connection: SQLConnection) throws(SpoolError) {
        let found = try connection.text("PRAGMA quick_check(1)") ?? "nothing"
        guard found == "ok" else { throw .corrupt(detail: found) }
    }
}

package import Broker
import FoundationEssentials
import GRDB

extension SQLiteStore: RestorableStore {
    package func generation() async throws(StoreFailure) -> StoreGeneration {
        try await perform("read the generation of the store") { try StoreGeneration($0) }
    }

    package func begin(
        _ generation: StoreGeneration, with keys: [SigningKeyRecord], _ event: AuditEvent
    ) async throws(StoreFailure) {
        let row = AuditRow(event)
        try await write("begin a generation of the store") { db, audit in
            let current = try StoreGeneration(db).number
            guard generation.number > current else {
                throw StoreFailure(
                    .conflict, "begin a generation of the store", cause: "the store is of generation \(current)")
            }
            try db.execute(
                sql: "UPDATE store SET generation = ?, backed_up = ?, restored = ?",
                arguments: [
                    generation.number, generation.backedUp?.milliseconds, generation.restored?.milliseconds,
                ])
            for key in try SigningKeyRecord.fetchAll(db) { try key.outOfUse(at: event.time).update(db) }
            for key in keys { try key.insert(db) }
            // Nobody knows which of their sessions were ended after the backup. That they were signed in to is known yet,
            // so that nothing else renews them.
            try db.execute(sql: "DELETE FROM refresh_tokens")
            try audit.append(row)
        }
    }
}

extension StoreGeneration {
    /// That of the store, which has the table.
    init(_ db: Database) throws {
        let rows = try Row.fetchCursor(db, sql: "SELECT generation, backed_up, restored FROM store").mapToArray { row in
            guard let number = Int(exactly: try row.integer(0)), (1...Int(Int32.max)).contains(number) else {
                throw StoreFailure(
                    .unreadable, "read the generation of the store", cause: "it is no number that a restore gives")
            }
            return StoreGeneration(
                number: number, backedUp: try row.isNull(1) ? nil : row.date(1),
                restored: try row.isNull(2) ? nil : row.date(2))
        }
        guard let generation = rows.first else {
            throw StoreFailure(.unreadable, "read the generation of the store", cause: "the store does not say it")
        }
        self = generation
    }
}

extension Row {
    fileprivate func isNull(_ column: Int) -> Bool {
        (self[column] as DatabaseValue).isNull
    }
}

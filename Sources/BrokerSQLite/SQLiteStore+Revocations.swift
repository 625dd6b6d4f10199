package import Broker
import FoundationEssentials
import GRDB

extension SQLiteStore: RevocationStore {
    package func record(_ revocations: [RecordedRevocation]) async throws(StoreFailure) {
        let rows = revocations.map(RevocationRow.init)
        try await commits.commit(.revocations(rows))
    }

    package func revocations() async throws(StoreFailure) -> [Revocation] {
        try await perform("read the revocations") { db in
            try Row.fetchCursor(db, sql: Revocation.selection).mapToArray { try Revocation($0) }
        }
    }

    package func highestRevocation() async throws(StoreFailure) -> UInt64 {
        try await perform("read the last revocation's number") { db in
            let number = try Int64.fetchOne(db, sql: "SELECT highest FROM revocation_number")
            guard let highest = number.flatMap({ UInt64(exactly: $0) }) else {
                throw StoreFailure(
                    .unreadable, "read the last revocation's number", cause: "revocation_number has an unknown form")
            }
            return highest
        }
    }

    package func lift(blocksOf sequences: [UInt64], _ event: AuditEvent) async throws(StoreFailure) {
        let row = AuditRow(event)
        try await write("lift a block") { db, audit in
            let lifting = try db.cachedStatement(
                sql: "UPDATE revocations SET blocks = 0, until = NULL WHERE sequence = ?")
            for sequence in sequences { try lifting.execute(arguments: [Int64(sequence)]) }
            try audit.append(row)
        }
    }

    package func delete(revocations: [UInt64]) async throws(StoreFailure) {
        try await writeUnrecorded("delete revocations") { db in
            let deletion = try db.cachedStatement(sql: "DELETE FROM revocations WHERE sequence = ?")
            for sequence in revocations { try deletion.execute(arguments: [Int64(sequence)]) }
        }
    }
}

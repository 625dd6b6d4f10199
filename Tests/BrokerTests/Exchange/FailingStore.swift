import Broker
import BrokerTesting
import JOSE
import Synchronization

/// A store that reads, and from some record on records nothing any more.
final class FailingStore: ExchangeStore {
    private let store: MemoryStore
    private let recordsLeft: Mutex<Int>

    /// - Parameter records: how many calls to record anything succeed.
    init(_ store: MemoryStore, afterRecords records: Int) {
        self.store = store
        recordsLeft = Mutex(records)
    }

    func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure) -> UseOutcome {
        try count()
        return try await store.record(session, event)
    }

    func record(_ event: AuditEvent, renewing session: SessionRecord) async throws(StoreFailure) -> UseOutcome {
        try count()
        return try await store.record(event, renewing: session)
    }

    func record(
        _ session: SessionRecord, _ event: AuditEvent, using use: SubjectTokenUse
    ) async throws(StoreFailure) -> UseOutcome {
        try count()
        return try await store.record(session, event, using: use)
    }

    func record(_ event: AuditEvent) async throws(StoreFailure) {
        try count()
        try await store.record(event)
    }

    func session(_ id: ExactString) async throws(StoreFailure) -> SessionRecord? {
        try await store.session(id)
    }

    func isSignIn(_ id: ExactString) async throws(StoreFailure) -> Bool { try await store.isSignIn(id) }

    private func count() throws(StoreFailure) {
        let left = recordsLeft.withLock { left in
            left -= 1
            return left
        }
        guard left >= 0 else { throw StoreFailure(.unavailable, "record", cause: "disk full") }
    }
}

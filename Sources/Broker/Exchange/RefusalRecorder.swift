import FoundationEssentials
import JOSE

/// Refusals of subjects whose signature was good, on the record before the caller learns of them.
struct RefusalRecorder: Sendable {
    let store: any ExchangeStore
    let log: RefusalLog

    /// - Throws: `.unavailable` where the record could not be made.
    func record(_ event: AuditEvent) async throws(ExchangeRefusal) {
        do {
            try await store.record(event)
        } catch {
            throw .unavailable(.storing(error, event))
        }
        log.note(event)
    }
}

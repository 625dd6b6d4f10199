import JOSE

/// The audit record, for administrators and auditors.
package protocol AuditTrail: Sendable {
    /// The records that meet the condition, the last one first.
    func records(
        _ condition: AuditCondition, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AuditRecord>

    /// Those behind a number, in the order of recording: see `AuditSearch`.
    func records(
        _ condition: AuditCondition, after sequence: Int64, limit: Int
    ) async throws(AdministrationFailure) -> AuditPart
}

/// The audit record of a store.
package struct StoredAudit: AuditTrail {
    private let store: any AuditSearch

    package init(_ store: any AuditSearch) {
        self.store = store
    }

    package func records(
        _ condition: AuditCondition, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AuditRecord> {
        let position: Int64? = try page.number()
        do {
            let part = try await store.auditRecords(condition, before: position, limit: page.limit)
            return AdministrationAPI.Page(
                part.records, next: part.isLast ? nil : ExactString(String(part.position)))
        } catch {
            throw .unavailable("\(error)")
        }
    }

    package func records(
        _ condition: AuditCondition, after sequence: Int64, limit: Int
    ) async throws(AdministrationFailure) -> AuditPart {
        do {
            return try await store.auditRecords(condition, after: sequence, limit: limit)
        } catch {
            throw .unavailable("\(error)")
        }
    }
}

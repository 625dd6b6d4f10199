package import FoundationEssentials
import JOSE

extension CheckpointKeys {
    /// Those of `store`; where there is none, the first is made, on the record.
    package static func open(
        in store: any AuditChainStore, with masterKey: MasterKey, at now: Date
    ) async throws -> CheckpointKeys {
        let records = try await store.checkpointKeys()
        if let keys = try CheckpointKeys(opening: records, with: masterKey) { return keys }
        let record = try CheckpointKey.generate(sealedWith: masterKey, at: now)
        let event = AuditEvent(
            time: now, trace: TraceID(at: now), kind: .checkpointKeyMade, issuer: nil, subject: nil,
            details: ["key": .string(record.keyID)])
        try await store.insert(record, event)
        guard let keys = try CheckpointKeys(opening: [record], with: masterKey) else {
            throw CheckpointKeyFailure.damaged(keyID: record.keyID)
        }
        return keys
    }
}

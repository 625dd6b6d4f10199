package import JOSE

/// The chain of audit records, for administrators.
package protocol AuditChainAdministration: Sendable {
    /// Verifies a stretch of the chain.
    /// - Parameter checkpoint: `next` of the stretch before; nil for the first.
    func verify(after checkpoint: Int64?) async throws(AdministrationFailure) -> AuditReport

    /// Numbers and hashes of the records after `sequence`, at most `limit`, for comparing them with a file.
    func marks(after sequence: Int64, limit: Int) async throws(AdministrationFailure) -> [AuditMark]

    /// The checkpoints that were made behind those records.
    func checkpoints(behind records: ClosedRange<Int64>) async throws(AdministrationFailure) -> [Checkpoint]
}

/// That of a store.
package struct StoredAuditChain: AuditChainAdministration {
    /// A stretch takes about two seconds.
    package static let stretch = 400_000

    private let store: any AuditChainStore

    package init(_ store: any AuditChainStore) {
        self.store = store
    }

    package func verify(after checkpoint: Int64?) async throws(AdministrationFailure) -> AuditReport {
        do {
            return try await store.verifyAudit(after: checkpoint, records: Self.stretch)
        } catch {
            throw AdministrationFailure(error)
        }
    }

    package func marks(after sequence: Int64, limit: Int) async throws(AdministrationFailure) -> [AuditMark] {
        do {
            return try await store.auditMarks(after: sequence, limit: limit)
        } catch {
            throw AdministrationFailure(error)
        }
    }

    package func checkpoints(
        behind records: ClosedRange<Int64>
    ) async throws(AdministrationFailure) -> [Checkpoint] {
        do {
            return try await store.checkpoints(behind: records)
        } catch {
            throw AdministrationFailure(error)
        }
    }
}

extension AdministrationFailure {
    fileprivate init(_ failure: StoreFailure) {
        self = failure.code == .conflict ? .conflict(failure.cause) : .unavailable(failure.description)
    }
}

extension AdministrationAPI {
    /// How many hashes `GET audit/hashes` gives at once.
    package static let hashLimits = 1...10_000

    /// - Parameter checkpoints: those that were made behind these records.
    package static func json(_ marks: [AuditMark], _ checkpoints: [Checkpoint], limit: Int) -> JSONObject {
        [
            "records": .array(
                marks.map { ["sequence": .number(Double($0.sequence)), "hash": .string($0.hashText)] }),
            "checkpoints": .array(
                checkpoints.map {
                    [
                        "checkpoint": .number(Double($0.number)), "sequence": .number(Double($0.sequence)),
                        "line": .string(ExactString(String(decoding: $0.json.encoded(), as: UTF8.self))),
                    ]
                }),
            "complete": .bool(marks.count < limit),
        ]
    }
}

extension AuditMark {
    fileprivate var hashText: ExactString { ExactString(Base64URL.encode(hash)) }

    fileprivate var json: JSONObject { ["sequence": .number(Double(sequence)), "hash": .string(hashText)] }
}

extension AuditReport {
    /// `intact` says of this stretch alone that nothing is wrong with it.
    package var json: JSONObject {
        var json: JSONObject = [
            "intact": .bool(finding == nil), "records": .number(Double(records)),
            "checkpoints": .number(Double(checkpoints)), "unsealed": .number(Double(unsealed)),
        ]
        if let first { _ = json.append("first", .number(Double(first))) }
        if let last { _ = json.append("last", .object(last.json)) }
        if let lastCheckpoint { _ = json.append("last_checkpoint", .object(lastCheckpoint.json)) }
        if let firstLate {
            _ = json.append(
                "late", ["records": .number(Double(late)), "checkpoint": .number(Double(firstLate))])
        }
        if let next { _ = json.append("next", .number(Double(next))) }
        if let finding {
            _ = json.append(
                "finding",
                [
                    "kind": .string(ExactString(finding.kind.rawValue)), "sequence": .number(Double(finding.sequence)),
                    "message": .string(ExactString(finding.message)),
                ])
        }
        return json
    }
}

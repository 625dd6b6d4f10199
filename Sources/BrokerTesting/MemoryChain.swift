import Broker
import FoundationEssentials
import JOSE

/// The chain of the audit records of a `MemoryStore`.
struct MemoryChain: Sendable {
    var keys: [CheckpointKeyRecord] = []
    var signing: CheckpointKeys?
    private(set) var checkpoints: [Checkpoint] = []
    private(set) var marks: [AuditMark] = []
    private var unsealed: Int64 = 0
    /// What the chain begins behind.
    private(set) var archived: Checkpoint?

    /// The record that the chain begins behind, too.
    var allMarks: [AuditMark] {
        (archived.map { [AuditMark(sequence: $0.sequence, hash: $0.hash)] } ?? []) + marks
    }

    mutating func append(_ event: AuditEvent, _ sequence: Int64, _ generation: Int) {
        let previous = marks.last?.hash ?? archived?.hash ?? AuditChain.start
        let columns = AuditColumns(event, details: event.details.encoded())
        let hash = AuditChain().hash(after: previous, sequence: sequence, columns.bytes)
        marks.append(AuditMark(sequence: sequence, hash: hash))
        unsealed += 1
        if unsealed >= CheckpointRhythm.records { seal(generation) }
    }

    mutating func seal(_ generation: Int) {
        guard let key = signing?.signing, unsealed > 0, let last = marks.last else { return }
        let before = checkpoints.last ?? archived
        let place = Checkpoint.Place(
            sequence: last.sequence, hash: last.hash, count: (before?.count ?? 0) + unsealed)
        let checkpoint = try? Checkpoint(
            place, after: before, generation: generation, signedWith: key, at: Date(timeIntervalSince1970: 0))
        guard let checkpoint else { return }
        checkpoints.append(checkpoint)
        unsealed = 0
    }

    /// Forgets what is up to `checkpoint`.
    mutating func archive(_ checkpoint: Checkpoint) {
        archived = checkpoint
        checkpoints.removeAll { $0.number <= checkpoint.number }
        marks.removeAll { $0.sequence <= checkpoint.sequence }
    }

    func verify(
        _ events: [(Int64, AuditEvent)], after number: Int64?, records: Int
    ) throws(StoreFailure) -> AuditReport {
        let start = number.map { number in checkpoints.first { $0.number == number } } ?? archived
        if number != nil, start == nil {
            throw StoreFailure(.conflict, "verify the audit trail", cause: "there is no such checkpoint")
        }
        var verification = AuditVerification(after: start, keys: signing, remembering: marks.last)
        var rest = checkpoints.filter { $0.number > start?.number ?? 0 }[...]
        var checked = 0
        for (sequence, event) in events where sequence > start?.sequence ?? 0 {
            let columns = AuditColumns(event, details: event.details.encoded())
            let hash = marks.first { $0.sequence == sequence }?.hash ?? []
            if let finding = verification.check(sequence, hash: hash.span, columns.bytes) {
                return verification.report(finding, next: nil)
            }
            checked += 1
            guard let checkpoint = rest.first, checkpoint.sequence == sequence else { continue }
            if let finding = verification.check(checkpoint) { return verification.report(finding, next: nil) }
            rest = rest.dropFirst()
            if checked >= records { return verification.report(nil, next: checkpoint.number) }
        }
        return verification.report(verification.checkEnd(), next: nil)
    }
}

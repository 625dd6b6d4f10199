package import Broker
import JOSE
import Synchronization

/// The audit record in memory, and what verifying its chain answers.
extension FakeAdministration {
    /// What verifying answers, stretch by stretch, and which records there are.
    package func setChain(
        _ reports: [AuditReport], _ marks: [AuditMark] = [], _ checkpoints: [Checkpoint] = [],
        records: [AuditRecord] = []
    ) {
        state.withLock { ($0.reports, $0.marks, $0.checkpoints, $0.records) = (reports, marks, checkpoints, records) }
    }

    /// Verifying the next stretches answers 409.
    package func interruptVerifying(_ count: Int) {
        state.withLock { $0.interruptions = count }
    }

    package func verify(after checkpoint: Int64?) async throws(AdministrationFailure) -> AuditReport {
        try check()
        let isInterrupted = state.withLock { state in
            guard checkpoint != nil, state.interruptions > 0 else { return false }
            state.interruptions -= 1
            return true
        }
        if isInterrupted { throw .conflict("there is no such checkpoint any more: begin anew") }
        return state.withLock { state in
            state.calls.lines.append("verify after=\(checkpoint.map { "\($0)" } ?? "nothing")")
            return state.reports.isEmpty ? AuditReport() : state.reports.removeFirst()
        }
    }

    package func marks(after sequence: Int64, limit: Int) async throws(AdministrationFailure) -> [AuditMark] {
        try check()
        return state.withLock { Array($0.marks.filter { $0.sequence > sequence }.prefix(limit)) }
    }

    package func checkpoints(
        behind records: ClosedRange<Int64>
    ) async throws(AdministrationFailure) -> [Checkpoint] {
        try check()
        return state.withLock { $0.checkpoints.filter { records.contains($0.sequence) } }
    }

    /// Numbers the events from 1 on.
    package func record(_ events: [AuditEvent]) {
        state.withLock { state in
            for event in events {
                state.records.append(AuditRecord(sequence: Int64(state.records.count + 1), event: event))
            }
        }
    }

    package func explain(_ decision: API.Decision) {
        state.withLock { $0.decisions[decision.trace] = decision }
    }

    package func records(
        _ condition: AuditCondition, _ page: API.PageRequest
    ) async throws(AdministrationFailure) -> API.Page<AuditRecord> {
        try check()
        let found = state.withLock { state in
            state.calls.conditions.append(condition)
            return state.records.reversed().filter { condition.matches($0.event) }
        }
        return try Self.page(found, page)
    }

    package func records(
        _ condition: AuditCondition, after sequence: Int64, limit: Int
    ) async throws(AdministrationFailure) -> AuditPart {
        try check()
        let found = state.withLock { state in
            state.calls.conditions.append(condition)
            return state.records.filter { $0.sequence > sequence && condition.matches($0.event) }
        }
        let part = Array(found.prefix(limit))
        return AuditPart(part, position: part.last?.sequence ?? sequence, isLast: found.count <= limit)
    }

    package func decision(_ trace: TraceID) async throws(AdministrationFailure) -> API.Decision {
        try check()
        guard let decision = state.withLock({ $0.decisions[trace] }) else {
            throw .notFound("nothing is known of \(trace)")
        }
        return decision
    }
}

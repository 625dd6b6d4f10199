package import Broker
package import FoundationEssentials
import JOSE
import Synchronization

// Audit records, and the chain of them.
extension MemoryStore {
    package func auditEvents(trace: TraceID) async throws(StoreFailure) -> [AuditEvent] {
        try whileReachable { $0.events.rows.filter { $0.trace == trace } }
    }

    package func auditRecords(
        _ condition: AuditCondition, before sequence: Int64?, limit: Int
    ) async throws(StoreFailure) -> AuditPart {
        try whileReachable { state in
            let found = state.events.numbered.reversed().filter {
                $0.number < sequence ?? .max && condition.matches($0.row)
            }
            let part = found.prefix(limit)
            return AuditPart(
                part.map { AuditRecord(sequence: $0.number, event: $0.row) },
                position: part.last?.number ?? 0, isLast: found.count <= limit)
        }
    }

    package func auditRecords(
        _ condition: AuditCondition, after sequence: Int64, limit: Int
    ) async throws(StoreFailure) -> AuditPart {
        try whileReachable { state in
            let found = state.events.numbered.filter { $0.number > sequence && condition.matches($0.row) }
            let part = found.prefix(limit)
            return AuditPart(
                part.map { AuditRecord(sequence: $0.number, event: $0.row) },
                position: part.last?.number ?? sequence, isLast: found.count <= limit)
        }
    }

    package func lastAuditTime() async throws(StoreFailure) -> Date? {
        try whileReachable { $0.events.rows.last?.time }
    }

    package func latestExpiry(
        grantedAfter moment: Date, lookingAt count: Int
    ) async throws(StoreFailure) -> Date? {
        try whileReachable { state in
            let young = state.events.rows.filter { $0.time > moment }
            guard young.count <= count else { return nil }
            return young.filter { AuditEvent.grants.contains($0.kind) }.compactMap { $0.details["expires"]?.number }
                .max().map(Date.init(timeIntervalSince1970:))
                ?? .distantPast
        }
    }

    package func archive(_ order: ArchiveOrder) async throws(StoreFailure) -> ArchiveResult {
        try whileReachable { state in
            var (ends, count): (Checkpoint?, Int) = (nil, 0)
            for (number, event) in state.events.numbered where number > state.chain.archived?.sequence ?? 0 {
                guard order.permits(event.time) else { break }
                count += 1
                guard let checkpoint = state.chain.checkpoints.first(where: { $0.sequence == number }) else { continue }
                ends = checkpoint
                if count >= order.maximumRecords { break }
            }
            guard let ends, let signature = try? state.chain.signing?.signature(saying: .archived, of: ends) else {
                return ArchiveResult()
            }
            let moved = state.events.numbered.filter {
                $0.number > state.chain.archived?.sequence ?? 0 && $0.number <= ends.sequence
            }
            let file = "\(order.folder)/\(ends.sequence)"
            state.archives[file] = moved.map(\.row)
            state.chain.archive(ends)
            state.append(
                order.event(
                    ends, signature, count: Int64(moved.count), first: moved[0].number, file: file, digest: []))
            return ArchiveResult(records: Int64(moved.count), file: file)
        }
    }

    package func deleteArchived(limit: Int) async throws(StoreFailure) -> Int {
        try whileReachable { state in
            let numbers = state.events.numbered.map(\.number).filter { $0 <= state.chain.archived?.sequence ?? 0 }
            state.events.remove(Set(numbers.prefix(limit)))
            return min(limit, numbers.count)
        }
    }

    package func checkpointKeys() async throws(StoreFailure) -> [CheckpointKeyRecord] {
        try whileReachable { $0.chain.keys }
    }

    package func insert(_ key: CheckpointKeyRecord, _ event: AuditEvent) async throws(StoreFailure) {
        try whileReachable { state in
            state.chain.keys.append(key)
            state.append(event)
        }
    }

    package func sign(with keys: CheckpointKeys) {
        state.withLock { $0.chain.signing = keys }
    }

    @discardableResult
    package func makeCheckpoint() async throws(StoreFailure) -> Checkpoint? {
        try whileReachable { state in
            state.chain.seal(state.generation.number)
            return state.chain.checkpoints.last
        }
    }

    package func checkpoints(after number: Int64, limit: Int) async throws(StoreFailure) -> [Checkpoint] {
        try whileReachable { Array($0.chain.checkpoints.filter { $0.number > number }.prefix(limit)) }
    }

    package func checkpoints(behind records: ClosedRange<Int64>) async throws(StoreFailure) -> [Checkpoint] {
        try whileReachable { $0.chain.checkpoints.filter { records.contains($0.sequence) } }
    }

    package func verifyAudit(
        after checkpoint: Int64?, records: Int
    ) async throws(StoreFailure) -> AuditReport {
        try whileReachable { state throws(StoreFailure) in
            let events = state.events.numbered.map { ($0.number, $0.row) }
            return try state.chain.verify(events, after: checkpoint, records: records)
        }
    }

    package func auditMarks(after sequence: Int64, limit: Int) async throws(StoreFailure) -> [AuditMark] {
        try whileReachable { Array($0.chain.allMarks.filter { $0.sequence > sequence }.prefix(limit)) }
    }

    package func exchanges<State: Sendable>(
        _ part: HistoryPart, into state: State, _ body: @escaping @Sendable (inout State, AuditEvent) -> Bool
    ) async throws(StoreFailure) -> (state: State, next: HistoryPosition?) {
        let rows = try whileReachable { $0.events.numbered }
        guard let end = rows.last?.number else { return (state, nil) }
        var state = state
        let position = part.position ?? HistoryPosition(done: 0, last: end)
        var done = position.done
        let (since, until) = (part.since, part.until ?? .distantFuture)
        for (number, event) in rows where number > position.done && number <= position.last {
            guard number - position.done <= part.limit else { break }
            done = number
            guard event.isExchange, since <= event.time, event.time < until else { continue }
            if !body(&state, event) { break }
        }
        return (state, done < position.last ? HistoryPosition(done: done, last: position.last) : nil)
    }
}

extension AuditEvent {
    fileprivate var isExchange: Bool { kind == .exchangeGranted || kind == .exchangeRefused }
}

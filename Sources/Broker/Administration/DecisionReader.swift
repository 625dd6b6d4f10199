import FoundationEssentials
import JOSE

/// What was decided about a request, for administrators.
package protocol DecisionReader: Sendable {
    /// All that is known of the request with that trace id.
    /// - Throws: `.notFound` where nothing is, with why that can be.
    func decision(_ trace: TraceID) async throws(AdministrationFailure) -> AdministrationAPI.Decision
}

/// Decisions out of the audit record, and out of the memory of this process.
package struct StoredDecisions: DecisionReader {
    /// Of one request there are few; of what was reloaded or revoked in one go there may be more.
    private static let maximumRecords = 100

    private let store: any AuditSearch & ExchangeStore
    private let recent: RecentRefusals
    private let limits: @Sendable () -> [ProofLimits]
    private let retention: Duration
    private let clock: any BrokerClock

    /// - Parameters:
    ///   - limits: what is wanted of proofs at the moment, of issuers and of trust domains.
    ///   - retention: how long records are kept.
    package init(
        _ store: any AuditSearch & ExchangeStore, recent: RecentRefusals,
        limits: @escaping @Sendable () -> [ProofLimits], retention: Duration, clock: any BrokerClock
    ) {
        self.store = store
        self.recent = recent
        self.limits = limits
        self.retention = retention
        self.clock = clock
    }

    package func decision(_ trace: TraceID) async throws(AdministrationFailure) -> AdministrationAPI.Decision {
        let part: AuditPart
        do {
            part = try await store.auditRecords(
                AuditCondition(trace: trace), before: nil, limit: Self.maximumRecords)
        } catch {
            throw .unavailable("\(error)")
        }
        let refusals = recent.refusals(of: trace)
        guard !part.records.isEmpty || !refusals.isEmpty else { throw .notFound(reasons(trace)) }
        return AdministrationAPI.Decision(
            trace: trace, records: part.records.reversed(), areAll: part.isLast, refusals: refusals,
            sessions: await sessions(of: part.records), limits: limits())
    }

    /// The sessions that further tokens are of, whose records have no claims. What cannot be read is left out: the record
    /// says the rest.
    private func sessions(of records: [AuditRecord]) async -> [ExactString: SessionRecord] {
        var sessions: [ExactString: SessionRecord] = [:]
        for record in records where record.event.isOfFurtherToken {
            guard let id = record.event.sessionID, sessions[id] == nil else { continue }
            sessions[id] = try? await store.session(id)
        }
        return sessions
    }

    /// Why nothing is known of a request: the id itself says when it was made.
    private func reasons(_ trace: TraceID) -> String {
        let (now, made) = (clock.now, trace.time)
        let moment = RecordedTime(made).text
        let start = RecordedTime(recent.start).text
        var words = "nothing is known of \(trace). "
        guard made <= now.addingTimeInterval(60) else {
            return words + "It says that it was made at \(moment), which has not been yet: it is none of this broker's"
        }
        words += "It says that it was made at \(moment). "
        if made < now.addingTimeInterval(-retention.seconds) {
            let days = Int(retention.seconds / 86_400)
            return words + "Audit records are kept for \(days) days (audit.retention), and then in the archive"
        }
        words +=
            "Grants, and refusals of whoever proved who he is, are in the audit record, and this is not among them. "
        if made < recent.start {
            words +=
                "Refusals of /verify and of proofs that proved nothing are kept in memory, and this broker has run "
                + "since \(start) only: what was there before is lost"
        } else {
            words +=
                "It was let pass at /verify, or was no decision (keys, metadata); or it was refused for its form or by a "
                + "limit, which the answer itself said; or so many were refused with it, or after it, that none of it "
                + "is in memory; or another broker answered it"
        }
        return words
    }
}

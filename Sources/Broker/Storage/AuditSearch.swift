package import FoundationEssentials
package import JOSE

/// Audit records by what they say.
package protocol AuditSearch: Sendable {
    /// Those that meet the condition, the last one first.
    ///
    /// Quick by whatever a condition can name, over millions of records, by an index that is made after the records and
    /// is no part of them: what somebody takes out of it is not found.
    /// - Parameters:
    ///   - sequence: only records before this one; nil begins with the last.
    ///   - limit: how many at most; fewer where they are long.
    func auditRecords(
        _ condition: AuditCondition, before sequence: Int64?, limit: Int
    ) async throws(StoreFailure) -> AuditPart

    /// Those behind `sequence` that meet the condition, in the order of recording. Every record there is is looked at,
    /// by no index.
    /// - Parameter limit: how many at most; fewer where they are long, or where too many others had to be looked at.
    func auditRecords(
        _ condition: AuditCondition, after sequence: Int64, limit: Int
    ) async throws(StoreFailure) -> AuditPart
}

/// A part of what was looked for.
package struct AuditPart: Sendable {
    /// In bytes of details: a part ends with the record that reaches it.
    package static let maximumLength = 2 << 20

    package let records: [AuditRecord]
    /// As far as was looked, in the direction of the search: what the next part is asked for with.
    package let position: Int64
    /// Whether there is nothing more, by now.
    package let isLast: Bool

    package init(_ records: [AuditRecord], position: Int64, isLast: Bool) {
        self.records = records
        self.position = position
        self.isLast = isLast
    }
}

/// Which audit records are looked for: those that meet all of it. Texts are compared byte by byte.
package struct AuditCondition: Sendable, Hashable {
    /// From this moment on.
    package var since: Date?
    /// Before this moment.
    package var until: Date?
    package var kind: AuditEvent.Kind?
    package var subject: ExactString?
    package var rule: ExactString?
    package var trace: TraceID?
    package var session: ExactString?
    /// `jti` of a gateway token.
    package var token: ExactString?

    package init(
        since: Date? = nil, until: Date? = nil, kind: AuditEvent.Kind? = nil, subject: ExactString? = nil,
        rule: ExactString? = nil, trace: TraceID? = nil, session: ExactString? = nil, token: ExactString? = nil
    ) {
        self.since = since
        self.until = until
        self.kind = kind
        self.subject = subject
        self.rule = rule
        self.trace = trace
        self.session = session
        self.token = token
    }

    package func matches(_ event: AuditEvent) -> Bool {
        func isMet(_ wanted: ExactString?, _ found: ExactString?) -> Bool { wanted.map { $0 == found } ?? true }
        return (kind.map { $0 == event.kind } ?? true) && (trace.map { $0 == event.trace } ?? true)
            && isMet(subject, event.subject) && isMet(rule, event.rule) && isMet(session, event.sessionID)
            && isMet(token, event.tokenID) && (since.map { Self.time($0) <= Self.time(event.time) } ?? true)
            && (until.map { Self.time($0) > Self.time(event.time) } ?? true)
    }

    /// As a store keeps it.
    private static func time(_ moment: Date) -> Int64 { RecordedTime(moment).milliseconds }
}

package import FoundationEssentials
package import JOSE

/// Where exchanges become durable.
package protocol ExchangeStore: Sendable {
    /// Makes the session and its audit record durable, both or neither, before it returns.
    ///
    /// Records of concurrent calls may share a transaction; one that fails by itself fails its own call only.
    /// - Throws: `.unavailable` when nothing was recorded; the caller then must not let its token out.
    func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure)

    /// Makes an audit record that belongs to no session durable before it returns.
    func record(_ event: AuditEvent) async throws(StoreFailure)
}

/// Where audit records are read.
package protocol AuditReader: Sendable {
    /// The records of one request, oldest first.
    func auditEvents(trace: TraceID) async throws(StoreFailure) -> [AuditEvent]
}

/// A session: all gateway tokens that descend from one authentication.
package struct SessionRecord: Sendable, Hashable {
    package let id: ExactString
    package let issuer: IssuerName
    package let subject: ExactString
    package let rule: ExactString
    package let start: Date
    /// No gateway token of the session outlives it.
    package let end: Date
    /// The claims that are kept for matching the rule again.
    package let claims: JSONObject

    package init(
        id: ExactString, issuer: IssuerName, subject: ExactString, rule: ExactString, start: Date, end: Date,
        claims: JSONObject
    ) {
        self.id = id
        self.issuer = issuer
        self.subject = subject
        self.rule = rule
        self.start = start
        self.end = end
        self.claims = claims
    }
}

package import FoundationEssentials
package import JOSE

/// Where exchanges become durable.
package protocol ExchangeStore: Sendable {
    /// Makes the session and its audit record durable, both or neither, before it returns.
    ///
    /// Records of concurrent calls may share a transaction; one that fails by itself fails its own call only.
    /// Like all that grants, it asks the revocations once more in the transaction, so that nothing slips in between a
    /// check and a revocation.
    /// - Returns: `.recorded`, or `.revoked`.
    /// - Throws: `.unavailable` when nothing was recorded; the caller then must not let its token out.
    @discardableResult
    func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure) -> UseOutcome

    /// Counts a use of the subject token and makes the audit record durable, and the session where it is new; all of
    /// it, or nothing where the outcome is not `.recorded`.
    func record(
        _ session: SessionRecord, _ event: AuditEvent, using use: SubjectTokenUse
    ) async throws(StoreFailure) -> UseOutcome

    /// Makes the audit record of a further token of a recorded session durable before it returns.
    /// - Returns: `.recorded`, or `.revoked`.
    func record(_ event: AuditEvent, renewing session: SessionRecord) async throws(StoreFailure) -> UseOutcome

    /// Makes an audit record that grants nothing durable before it returns.
    func record(_ event: AuditEvent) async throws(StoreFailure)

    /// The session of that id, or nil where there is none.
    func session(_ id: ExactString) async throws(StoreFailure) -> SessionRecord?

    /// Whether somebody signed in to that session, which has not been forgotten.
    func isSignIn(_ id: ExactString) async throws(StoreFailure) -> Bool
}

/// Where audit records are read.
package protocol AuditReader: Sendable {
    /// The records of one request, oldest first.
    func auditEvents(trace: TraceID) async throws(StoreFailure) -> [AuditEvent]

    /// The time of the record that was made last; nil where there is none.
    func lastAuditTime() async throws(StoreFailure) -> Date?

    /// The latest expiry of a token that was granted after `moment`, as its record has it; `.distantPast` where none was.
    /// - Returns: nil where more than `count` records are younger than that.
    func latestExpiry(grantedAfter moment: Date, lookingAt count: Int) async throws(StoreFailure) -> Date?
}

/// That a subject token is presented, of which there may only be so many.
package struct SubjectTokenUse: Sendable, Hashable {
    /// No use is remembered longer after the session that it opened began: the longest life of a subject token, two
    /// leeways and a little.
    package static let longestMemory: Duration = IssuerConfiguration.longestLifetime + .seconds(120)

    /// SHA-256 over the issuer and the token's signing input: the same for every signature over it.
    package let key: [UInt8]
    /// The uses are remembered until then: the token's expiry and the leeway.
    package let expires: Date
    /// By our clock: whatever used the token, did it later.
    package let notIssuedBefore: Date
    /// At least 1.
    package let maximumUses: Int
    /// Whether it gets a token for the broker itself.
    private var isForBroker = false

    package init(key: [UInt8], expires: Date, notIssuedBefore: Date, maximumUses: Int) {
        self.key = key
        self.expires = expires
        self.notIssuedBefore = notIssuedBefore
        self.maximumUses = maximumUses
    }

    /// What a further presentation has to have in common with the first, to join its session: the rule, who acts, and
    /// whether it is for the broker itself, which a rule may have come to be for since.
    package func joining(_ session: SessionRecord) -> ExactString {
        // Behind an actor stands no line break.
        isForBroker ? ExactString("\(session.joining)\n") : session.joining
    }

    /// The same use, of what is granted.
    func of(_ grant: Grant) -> SubjectTokenUse {
        var use = self
        use.isForBroker = grant.isForBroker
        return use
    }
}

/// What became of a use.
package enum UseOutcome: Sendable, Hashable {
    case recorded
    /// The token has opened this session before, with the same `joining`: a token has to be minted into it.
    case joins(SessionRecord)
    /// It was presented as often as it may be.
    case exhausted
    /// The session was revoked meanwhile: nothing was recorded.
    case revoked
}

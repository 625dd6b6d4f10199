// The control path's public face: what the administration listener's routes call. Each part is a protocol as small as its
// routes, so that the routes can be tested without a store. Every mutation makes its own audit record, of the caller and
// of what was before and after, in the transaction that makes it durable; the routes record nothing.

/// All that administrators can see and change.
package struct Administration: Sendable {
    package var keys: any KeyAdministration
    package var revocations: any RevocationAdministration
    package var sessions: any SessionReader
    package var issuers: any IssuerReader
    package var rules: any RuleReloading
    package var credentials: any CredentialAdministration
    package var ruleInspector: any RuleInspector
    package var chain: any AuditChainAdministration
    package var trail: any AuditTrail
    package var decisions: any DecisionReader

    package init(
        keys: any KeyAdministration, revocations: any RevocationAdministration,
        sessions: any SessionReader, issuers: any IssuerReader, rules: any RuleReloading,
        credentials: any CredentialAdministration, ruleInspector: any RuleInspector,
        chain: any AuditChainAdministration, trail: any AuditTrail, decisions: any DecisionReader
    ) {
        self.keys = keys
        self.revocations = revocations
        self.sessions = sessions
        self.issuers = issuers
        self.rules = rules
        self.credentials = credentials
        self.ruleInspector = ruleInspector
        self.chain = chain
        self.trail = trail
        self.decisions = decisions
    }
}

/// Why nothing was done. The words go to the administrator: no secret, and no more of the request than names.
package enum AdministrationFailure: Error, Sendable, Hashable {
    /// There is no such key, session or revocation, or nothing is known: 404.
    case notFound(String)
    /// The request cannot be understood or carried out as it stands: 400.
    case invalid(String)
    /// It can be understood, and must not be done in the state of now, such as activating a retired key: 409.
    case conflict(String)
    /// The store or the random source failed; nothing was changed: 503.
    case unavailable(String)
}

/// Who asks, and the trace id that the audit record has in common with the response.
package struct AdministrativeContext: Sendable, Hashable {
    package let caller: Caller
    package let trace: TraceID

    package init(caller: Caller, trace: TraceID) {
        self.caller = caller
        self.trace = trace
    }
}

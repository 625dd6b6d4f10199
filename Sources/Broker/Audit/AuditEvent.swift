package import FoundationEssentials
package import JOSE

/// One record of what the broker decided, for whom and why. It never holds a token, a signature or a key.
package struct AuditEvent: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// A gateway token was minted.
        case exchangeGranted = "exchange.granted"
        /// A gateway token was minted into a session that was there already, for one of its own.
        case sessionRenewed = "session.renewed"
        /// The same, into a new session below it, with less scope or for an actor.
        case sessionNarrowed = "session.narrowed"
        /// A subject whose signature was good got none.
        case exchangeRefused = "exchange.refused"
        /// Tokens, or whoever gets them, were revoked.
        case revoked = "revocation.made"
        /// A block was lifted by an administrator: whoever it kept out is let in again.
        case blockLifted = "block.lifted"
        /// Rows that had been kept for `audit.retention` were deleted, in the transaction that made this record.
        case recordsDeleted = "records.deleted"
        /// The staged signing key became active, the active one began to retire, and a new one was staged.
        case keyRotated = "key.rotated"
        /// A signing key that was retiring became active again, or the staged one became it by name.
        case keyActivated = "key.activated"
        /// A signing key was staged where there was none.
        case keyStaged = "key.staged"
        /// A signing key was retired: all that it had signed has expired.
        case keyRetired = "key.retired"
        /// A signing key is compromised: it is published no more, and what it signed is refused.
        case keyRevoked = "key.revoked"
        /// A version of a provider's credential was added, staged.
        case credentialAdded = "credential.added"
        /// A secret was to be added that the provider has in a version already: whoever may add can find out so.
        case credentialRefused = "credential.refused"
        /// A version of a provider's credential became the active one, and the one before began to drain.
        case credentialPromoted = "credential.promoted"
        /// A version of a provider's credential was retired, and its secret erased.
        case credentialRetired = "credential.retired"
        /// A secret was sealed anew, under another master key.
        case secretResealed = "secret.resealed"
        /// Other rules, issuers or trust domains came into force while the broker served.
        case configurationReloaded = "configuration.reloaded"
        /// Somebody wanted that, and everything stayed as it was.
        case configurationRefused = "configuration.refused"
        /// The store was restored from a backup, and every earlier token is dead.
        case storeRestored = "store.restored"
        /// A key was made that signs checkpoints of the audit trail.
        case checkpointKeyMade = "checkpoint-key.made"
        /// Audit records that had been kept for `audit.retention` were moved to a file, up to a checkpoint.
        case recordsArchived = "records.archived"
    }

    /// Those of which each made a gateway token that expires when `details` says under `expires`.
    package static let grants: [Kind] = [.exchangeGranted, .sessionRenewed, .sessionNarrowed]

    /// Whether it is of a token that was made from another one: its record has no claims, which its session has.
    var isOfFurtherToken: Bool { kind == .sessionRenewed || kind == .sessionNarrowed }

    package let time: Date
    package let trace: TraceID
    package let kind: Kind
    /// The configured name of the subject token's issuer; nil where no token is concerned.
    package let issuer: IssuerName?
    /// `name:sub`, or nil where the token was refused before its subject was known to be well-formed.
    package let subject: ExactString?
    package let rule: ExactString?
    package let sessionID: ExactString?
    /// `jti` of the gateway token.
    package let tokenID: ExactString?
    /// Why it was refused, as one word of ours; nil where it was granted.
    package let reason: String?
    /// The client's address, the claims that are kept, the explanation, the grant: see `Explanation.json`.
    package let details: JSONObject

    package init(
        time: Date, trace: TraceID, kind: Kind, issuer: IssuerName?, subject: ExactString?, rule: ExactString? = nil,
        sessionID: ExactString? = nil, tokenID: ExactString? = nil, reason: String? = nil, details: JSONObject
    ) {
        self.time = time
        self.trace = trace
        self.kind = kind
        self.issuer = issuer
        self.subject = subject
        self.rule = rule
        self.sessionID = sessionID
        self.tokenID = tokenID
        self.reason = reason
        self.details = details
    }
}

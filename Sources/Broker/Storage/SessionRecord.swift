package import FoundationEssentials
package import JOSE
package import SPIFFE

/// A session: all gateway tokens that descend from one authentication.
package struct SessionRecord: Sendable, Hashable {
    /// A session may have so many ancestors and itself in its lineage.
    package static let maximumLineage = 8

    package let id: ExactString
    /// The sessions from the first one to this, which is the last.
    package let lineage: [ExactString]
    package let issuer: IssuerName
    package let subject: ExactString
    package let rule: ExactString
    /// Who acts for the subject (RFC 8693 §4.1), as it stands in the session's tokens.
    package let actor: JSONObject?
    /// The certificate without which the session's tokens are good for nothing; nil where they are bearer tokens.
    package let binding: CertificateFingerprint?
    /// The highest revocation when its first ancestor's subject came to prove who it is: those above it may kill the
    /// session. Every token of it carries the number as `rev`.
    package let revision: UInt64
    package let start: Date
    /// No gateway token of the session outlives it.
    package let end: Date
    /// The claims that are kept for matching the rule again.
    package let claims: JSONObject

    /// What sessions of one subject token are told apart by: the rule, who acts, and the certificate. See
    /// `SubjectTokenUse.joining`.
    package var joining: ExactString {
        // No rule's name has a line break in it, and no object begins with a number sign.
        let actor = actor.map { "\n\(String(decoding: $0.encoded(), as: UTF8.self))" } ?? ""
        let binding = binding.map { "\n#\($0)" } ?? ""
        return ExactString("\(rule)\(binding)\(actor)")
    }

    /// Its end, or an earlier one where its rule grants shorter sessions by now.
    func latestEnd(under grant: Grant) -> Date {
        min(end, start.addingTimeInterval(grant.maximumSession.seconds))
    }

    /// - Parameter ancestors: the lineage of the session that this one descends from.
    package init(
        id: ExactString, ancestors: [ExactString] = [], issuer: IssuerName, subject: ExactString, rule: ExactString,
        actor: JSONObject? = nil, binding: CertificateFingerprint? = nil, revision: UInt64 = 0,
        start: Date, end: Date, claims: JSONObject
    ) {
        self.id = id
        lineage = ancestors + [id]
        self.issuer = issuer
        self.subject = subject
        self.rule = rule
        self.actor = actor
        self.binding = binding
        self.revision = revision
        self.start = start
        self.end = end
        self.claims = claims
    }
}

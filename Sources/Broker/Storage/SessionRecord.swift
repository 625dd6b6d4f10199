package import FoundationEssentials
package import JOSE

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
    package let start: Date
    /// No gateway token of the session outlives it.
    package let end: Date
    /// The claims that are kept for matching the rule again.
    package let claims: JSONObject

    /// What sessions of one subject token are told apart by: the rule, and who acts. See `SubjectTokenUse.joining`.
    package var joining: ExactString {
        guard let actor else { return rule }
        // No rule's name has a line break in it.
        return ExactString("\(rule)\n\(String(decoding: actor.encoded(), as: UTF8.self))")
    }

    /// Its end, or an earlier one where its rule grants shorter sessions by now.
    func latestEnd(under grant: Grant) -> Date {
        min(end, start.addingTimeInterval(grant.maximumSession.seconds))
    }

    /// - Parameter ancestors: the lineage of the session that this one descends from.
    package init(
        id: ExactString, ancestors: [ExactString] = [], issuer: IssuerName, subject: ExactString, rule: ExactString,
        actor: JSONObject? = nil, start: Date, end: Date, claims: JSONObject
    ) {
        self.id = id
        lineage = ancestors + [id]
        self.issuer = issuer
        self.subject = subject
        self.rule = rule
        self.actor = actor
        self.start = start
        self.end = end
        self.claims = claims
    }
}

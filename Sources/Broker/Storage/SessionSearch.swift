package import FoundationEssentials
package import JOSE

/// Where sessions are looked for by what is kept of them.
package protocol SessionSearch: Sendable {
    /// Those of the sessions that end after `now` that the condition names, the one that was recorded last first, at most
    /// `limit`.
    /// - Parameter position: `next` of the part before; nil for the first.
    func sessions(
        _ condition: SessionCondition, at now: Date, before position: Int64?, limit: Int
    ) async throws(StoreFailure) -> SessionPart
}

/// Which sessions are looked for: those that meet all of it, and with nothing in it all of them.
package struct SessionCondition: Sendable, Hashable {
    package var subject: ExactString?
    package var rule: ExactString?
    /// As `IssuerName.text`.
    package var issuer: ExactString?
    /// A session that they are or descend from.
    package var ancestor: ExactString?
    package var claim: ClaimCondition?
    /// Those alone that somebody signed in to, or of them those with an e-mail address.
    package var signIn: SignIn?

    package enum SignIn: Sendable, Hashable {
        case any
        /// As the provider spelt it.
        case email(ExactString)

        /// - Parameter record: what the session has of a sign-in; nil where nobody signed in to it.
        package func matches(_ record: SignInRecord?) -> Bool {
            switch self {
            case .any: record != nil
            case .email(let email): record?.email == email
            }
        }
    }

    package init(
        subject: ExactString? = nil, rule: ExactString? = nil, issuer: ExactString? = nil,
        ancestor: ExactString? = nil, claim: ClaimCondition? = nil, signIn: SignIn? = nil
    ) {
        self.signIn = signIn
        self.subject = subject
        self.rule = rule
        self.issuer = issuer
        self.ancestor = ancestor
        self.claim = claim
    }

    /// What of it can be told by the session alone: all but `signIn`.
    package func matches(_ session: SessionRecord) -> Bool {
        func isMet(_ wanted: ExactString?, _ found: ExactString) -> Bool { wanted.map { $0 == found } ?? true }
        return isMet(subject, session.subject) && isMet(rule, session.rule) && isMet(issuer, session.issuer.text)
            && (ancestor.map(session.lineage.contains) ?? true) && (claim?.matches(session.claims) ?? true)
    }
}

/// A part of what was looked for.
package struct SessionPart: Sendable {
    package let sessions: [SessionRecord]
    /// Where the next part begins; nil where there is nothing more.
    package let next: Int64?

    package init(_ sessions: [SessionRecord], next: Int64?) {
        self.sessions = sessions
        self.next = next
    }
}

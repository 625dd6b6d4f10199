package import JOSE

/// What a caller asks for, already parsed, whichever protocol it came by.
package struct ExchangeRequest: Sendable {
    package let trace: TraceID
    package let subjectToken: SecretText
    /// Nil asks for the whole scope of the grant.
    package let scope: [Scope]?
    /// `audience` and `resource` (RFC 8693 §2.1) together.
    package let targets: [ExactString]
    /// The rule that the caller names.
    package let rule: ExactString?

    package init(
        trace: TraceID, subjectToken: SecretText, scope: [Scope]? = nil, targets: [ExactString] = [],
        rule: ExactString? = nil
    ) {
        self.trace = trace
        self.subjectToken = subjectToken
        self.scope = scope
        self.targets = targets
        self.rule = rule
    }
}

/// What the caller gets.
package struct ExchangeResponse: Sendable {
    package let accessToken: SecretText
    /// In seconds.
    package let lifetime: Int
    package let scope: [Scope]
    package let sessionID: ExactString
}

/// Why there is no token, as coarse as the caller may know it.
package enum ExchangeRefusal: Error, Sendable {
    /// The subject token is not acceptable, or nothing is granted to its subject: the caller is not told which.
    case subjectToken
    /// More scope than the grant has.
    case scope
    /// An audience that the grant does not have.
    case target
    /// Nothing is wrong with the request; it may work later. The cause has been logged.
    case unavailable(String)
}

package import FoundationEssentials
package import JOSE

/// An exchange that the rules decided, as the audit record has it: what was known of the subject, what was asked for, and
/// what the rules said.
///
/// Records of versions before `asked` and `absent` count as requests that left everything to the rules, and of claims
/// that were not kept nothing is known.
package struct RecordedExchange: Sendable {
    package let subject: ExactString
    package let question: RuleQuestion
    /// Never `.unknown`.
    package let answer: RuleAnswer
    package let time: Date
    package let trace: TraceID
    /// Of the token that was granted; nil where the record does not say it to the second.
    package let lifetime: Duration?
    /// How long its session had lasted by then; nil where that is not known.
    package let sessionAge: Duration?

    /// - Returns: nil for a record of something else, and where not the rules decided: a proof that was not accepted, a
    ///   subject that is blocked, a certificate that is missing for another reason.
    package init?(_ event: AuditEvent) {
        guard let issuer = event.issuer, let subject = event.subject, let answer = RuleAnswer(recorded: event) else {
            return nil
        }
        self.subject = subject
        self.answer = answer
        time = event.time
        trace = event.trace
        if case .granted = answer, let expiry = event.details["expires"]?.number {
            (lifetime, sessionAge) = Self.lifetime(to: expiry, of: event)
        } else {
            (lifetime, sessionAge) = (nil, nil)
        }
        let claims: KnownClaims
        if issuer.trustDomain != nil {
            // Its SPIFFE ID is the subject itself, however long.
            claims = KnownClaims(kept: [VerifiedSubject.spiffeIDClaim: .string(subject)], absent: nil)
        } else {
            // Without any, nothing at all would be taken for known.
            guard let kept = event.details["claims"]?.object else { return nil }
            claims = KnownClaims(kept: kept, absent: event.details["absent"])
        }
        var question = RuleQuestion(issuer: issuer, claims: claims)
        // One that was there and did not count is as good as none.
        question.hasCertificate = event.details["certificate"] != nil && answer != .refused(.certificate)
        if let asked = event.details["asked"]?.object {
            guard question.read(asked, answered: answer) else { return nil }
        }
        self.question = question
    }

    /// Tokens are issued, and sessions begin, at whole seconds. A session's id begins with its start; one of another form
    /// has none that is as young as a session can be.
    private static func lifetime(to expiry: Double, of event: AuditEvent) -> (Duration?, age: Duration?) {
        let now = event.time.auditMilliseconds
        func lifetime(since milliseconds: Int64) -> Duration { .seconds(expiry - Double(milliseconds / 1000)) }
        var age: Duration?
        if let id = event.sessionID, let bytes = try? Base64URL.decode(id), bytes.count == 16 {
            let start = bytes.prefix(6).reduce(Int64(0)) { $0 << 8 | Int64($1) }
            // The record has rounded the moment that the id has cut off.
            if (0...1).contains(now - start) { return (lifetime(since: start), .zero) }
            let seconds = Duration.seconds(now / 1000 - start / 1000)
            if (.zero...GrantTerms.longestSession).contains(seconds) { age = seconds }
        }
        // A record at the turn of a second may be of a token of the one before.
        return (now % 1000 == 0 ? nil : lifetime(since: now), age)
    }
}

extension RuleAnswer {
    fileprivate init?(recorded event: AuditEvent) {
        switch event.kind {
        case .exchangeGranted:
            let texts = (event.details["scope"]?.array ?? []).compactMap(\.string)
            let scope = texts.compactMap { Scope(parsing: $0.string) }
            guard let rule = event.rule, let audience = event.details["audience"]?.string, !scope.isEmpty,
                scope.count == texts.count
            else { return nil }
            self = .granted(.init(rule: rule, scope: scope, audience: audience))
        case .exchangeRefused:
            guard let refusal = event.reason.flatMap(Refusal.init(rawValue:)) else { return nil }
            // Before a rule matched it was the proof that needed one.
            if refusal == .certificate, event.rule == nil { return nil }
            self = .refused(refusal)
        default: return nil
        }
    }
}

extension RuleQuestion {
    /// - Returns: false where not all that was asked for was recorded, and the answer does not say it either.
    fileprivate mutating func read(_ asked: JSONObject, answered answer: RuleAnswer) -> Bool {
        if case .granted(let grant) = answer {
            // All that was asked for was granted, or nothing would have been.
            scope = asked["scope"].map { _ in grant.scope }
        } else if asked["omitted_scope"] != nil || asked["omitted_audiences"] != nil {
            return false
        } else if let texts = asked["scope"]?.array {
            scope = texts.compactMap { $0.string.flatMap { Scope(parsing: $0.string) } }
        }
        // One that stands there as its digest is too long for any rule's name or id: the empty one is none either.
        if let rule = asked["rule"] { named = rule.string ?? "" }
        targets = asked["audiences"]?.array ?? []
        for parameter in FederationIDs.Parameter.allCases {
            if let id = asked[ExactString(parameter.rawValue)] { federation[parameter] = id.string ?? "" }
        }
        return true
    }
}

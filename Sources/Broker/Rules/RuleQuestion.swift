package import JOSE

/// What rules are asked about somebody whom nobody has authenticated: a made-up subject, or one of the audit record. The
/// answer is no grant, and no token can be minted by it.
package struct RuleQuestion: Sendable {
    package let issuer: IssuerName
    package let claims: KnownClaims
    /// The rule that the request names.
    package var named: ExactString?
    /// Nil asks for the whole scope.
    package var scope: [Scope]?
    /// Of `audience` and `resource`; a text of more than 256 bytes as its digest.
    package var targets: [JSONValue] = []
    package var federation = FederationIDs()
    /// Whether the request comes with a client certificate.
    package var hasCertificate = true

    package init(issuer: IssuerName, claims: KnownClaims) {
        self.issuer = issuer
        self.claims = claims
    }
}

/// What the rules say, as far as it can be told.
package enum RuleAnswer: Sendable, Hashable {
    case granted(Granted)
    case refused(Refusal)
    /// Whether this rule matches depends on claims that are not known, and no rule before it matches.
    case unknown(rule: ExactString, claims: [ExactString])

    package struct Granted: Sendable, Hashable {
        package let rule: ExactString
        /// In the order of the rule.
        package let scope: [Scope]
        package let audience: ExactString

        package init(rule: ExactString, scope: [Scope], audience: ExactString) {
            self.rule = rule
            self.scope = scope
            self.audience = audience
        }
    }

    /// By the words of the audit record.
    package enum Refusal: String, Sendable, Hashable, CaseIterable {
        case noRule = "no_rule"
        case scope, target
        /// The grant binds to a certificate, and there is none.
        case certificate
    }
}

extension RuleSet {
    /// What an exchange that asks so is granted, by the same order as `match`.
    package func answer(to question: RuleQuestion) -> RuleAnswer {
        let candidates = candidates(of: question.issuer, naming: question.named, asking: question.scope ?? [])
        for rule in candidates where rule.federation.areAll(in: question.federation) {
            switch rule.truth(in: question.claims) {
            case .fails: continue
            case .holds: return rule.answer(to: question)
            case .unknown:
                let open = rule.matchers.filter { $0.truth(in: question.claims) == .unknown }
                return .unknown(rule: rule.name, claims: open.map(\.claim.text))
            }
        }
        return .refused(.noRule)
    }

    /// The rules that are tried, each with what of it holds: the first that matches, then those that come nearest.
    package func attempts(_ question: RuleQuestion) -> [RuleAttempt] {
        let attempts = candidates(of: question.issuer, naming: question.named, asking: question.scope ?? [])
            .map { RuleAttempt($0, question) }
        // The sort is stable: of equal ones the first stays first.
        return attempts.sorted { $0.distance < $1.distance }
    }
}

extension Rule {
    /// Whether every test of it holds; its federation ids are another question.
    func truth(in claims: KnownClaims) -> Truth {
        var isOpen = false
        for matcher in matchers {
            switch matcher.truth(in: claims) {
            case .fails: return .fails
            case .unknown: isOpen = true
            case .holds: break
            }
        }
        return isOpen ? .unknown : .holds
    }

    /// What it grants where it matches. `Grant.narrowed` does the same for the exchange.
    fileprivate func answer(to question: RuleQuestion) -> RuleAnswer {
        var scope = terms.scope
        if let requested = question.scope {
            guard !requested.isEmpty, requested.allSatisfy(scope.contains) else { return .refused(.scope) }
            scope = scope.filter(requested.contains)
        }
        var audience = terms.audiences[0]
        if let target = question.targets.first {
            let named = terms.audiences.first { KeptClaims.shortened(.string($0)) == target }
            guard let named, question.targets.allSatisfy({ $0 == target }) else { return .refused(.target) }
            audience = named
        }
        guard !terms.bindsCertificate || question.hasCertificate else { return .refused(.certificate) }
        return .granted(.init(rule: name, scope: scope, audience: audience))
    }
}

/// A rule that was tried: what of it holds and what not.
package struct RuleAttempt: Sendable {
    package let rule: Rule
    package let claims: [Claim]
    /// The ids of `federation` that the request lacks or has otherwise.
    package let ids: [FederationIDs.Parameter]
    /// What is asked for and the rule does not grant.
    let asked: [Explanation.AskedTest]
    /// Those of the request.
    private let presented: FederationIDs

    package struct Claim: Sendable {
        package let matcher: ClaimMatcher
        package let got: KnownClaims.Value
        package let truth: Truth
    }

    init(_ rule: Rule, _ question: RuleQuestion) {
        self.rule = rule
        claims = rule.matchers.map { matcher in
            Claim(
                matcher: matcher, got: question.claims.value(at: matcher.claim),
                truth: matcher.truth(in: question.claims))
        }
        ids = rule.federation.mismatches(with: question.federation)
        asked = Explanation.AskedTest.failed(by: question.scope, [], rule.terms)
        presented = question.federation
    }

    package var truth: Truth {
        if misses == 0 { return .holds }
        return ids.isEmpty && !claims.contains { $0.truth == .fails } ? .unknown : .fails
    }

    /// How much of it does not hold, or cannot be told.
    private var misses: Int { claims.count { $0.truth != .holds } + ids.count }

    /// What matches comes first; of the rest what a smaller change makes match, as in an `Explanation`.
    fileprivate var distance: (Int, Int) { misses == 0 ? (0, 0) : (asked.isEmpty ? 1 : 2, misses) }

    /// As an explanation has a rule that was tried.
    var miss: Explanation.RuleMiss {
        func test(_ claim: Claim) -> Explanation.ClaimTest {
            if case .value(let value) = claim.got { return Explanation.ClaimTest(claim.matcher, got: value) }
            return Explanation.ClaimTest(claim.matcher, got: nil)
        }
        return Explanation.RuleMiss(
            rule: rule.name, claims: claims.filter { $0.truth != .holds }.map(test),
            ids: ids.compactMap { Explanation.IDTest($0, of: rule, presented: presented) }, asked: asked,
            held: claims.filter { $0.truth == .holds }.map(test))
    }
}

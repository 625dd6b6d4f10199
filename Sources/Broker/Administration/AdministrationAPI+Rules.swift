package import JOSE

// What is said of rules, as JSON. Lists of values are cut: what a rule has is in its file.

extension AdministrationAPI {
    /// A rule in force.
    package struct Rule: Sendable {
        package let rule: Broker.Rule

        package init(_ rule: Broker.Rule) {
            self.rule = rule
        }

        package var json: JSONObject {
            let terms = rule.terms
            var json: JSONObject = [
                "rule": .string(rule.name), "issuer": .string(rule.issuer.text),
                "match": .array(rule.matchers.map { .object($0.json) }),
            ]
            if !rule.federation.isEmpty { _ = json.append("federation", .object(rule.federation.json)) }
            for member in terms.json.members { _ = json.append(member.name, member.value) }
            _ = json.append("audiences", AdministrationAPI.json(terms.audiences))
            _ = json.append("explain_to_caller", .bool(terms.explainsToCaller))
            return json
        }
    }

    /// A rule that grants a scope.
    package struct RuleOpening: Sendable, Hashable {
        package let rule: ExactString
        package let issuer: ExactString
        /// Who gets it, in words.
        package let whom: String
        /// The scope that opens what was asked about; nil where it is that one itself.
        package let through: Scope?
        /// Whether the issuer signs tokens for many organisations.
        package let isShared: Bool
        /// Whether nothing in the rule tells one subject of the issuer from another.
        package let isOpen: Bool
        /// What to look at twice, in words.
        package let cautions: [String]

        package init(
            rule: ExactString, issuer: ExactString, whom: String, through: Scope? = nil, isShared: Bool = false,
            isOpen: Bool = false, cautions: [String] = []
        ) {
            self.rule = rule
            self.issuer = issuer
            self.whom = whom
            self.through = through
            self.isShared = isShared
            self.isOpen = isOpen
            self.cautions = cautions
        }

        package var json: JSONObject {
            var json: JSONObject = [
                "rule": .string(rule), "issuer": .string(issuer), "whom": .string(ExactString(whom)),
                "shared": .bool(isShared), "open": .bool(isOpen),
                "cautions": .array(cautions.map { .string(ExactString($0)) }),
            ]
            if let through { _ = json.append("through", .string(through.text)) }
            return json
        }
    }

    /// What a test says.
    package struct RuleTestResult: Sendable {
        /// More rules than these are counted, not listed.
        package static let maximumRules = Explanation.maximumRules

        /// As tokens and records name it.
        package let subject: ExactString
        package let answer: RuleAnswer
        /// The terms of the rule that grants.
        package let terms: GrantTerms?
        /// Those that were tried: the one that grants first, then the nearest.
        package let attempts: [RuleAttempt]
        package let omittedRules: Int
        package let warnings: [String]

        package init(
            subject: ExactString, answer: RuleAnswer, terms: GrantTerms?, attempts: [RuleAttempt],
            omittedRules: Int = 0, warnings: [String] = []
        ) {
            self.subject = subject
            self.answer = answer
            self.terms = terms
            self.attempts = attempts
            self.omittedRules = omittedRules
            self.warnings = warnings
        }

        package var json: JSONObject {
            var json: JSONObject = ["subject": .string(subject)]
            switch answer {
            case .granted(let grant):
                _ = json.append("granted", true)
                _ = json.append("rule", .string(grant.rule))
                _ = json.append("scope", AdministrationAPI.json(grant.scope.map(\.text)))
                _ = json.append("audience", .string(grant.audience))
                for member in terms?.json.members ?? [] where member.name != "scope" {
                    _ = json.append(member.name, member.value)
                }
            case .refused(let refusal):
                _ = json.append("granted", false)
                _ = json.append("reason", .string(ExactString(refusal.rawValue)))
            case .unknown(let rule, let claims):
                _ = json.append("granted", false)
                _ = json.append("reason", "unknown")
                _ = json.append("rule", .string(rule))
                _ = json.append("claims", AdministrationAPI.json(claims))
            }
            let tried = attempts.map { TriedRule($0) }
            let isMatched = attempts.first?.truth == .holds
            _ = json.append(
                "rules",
                .array(tried.enumerated().map { .object($1.json(isNearest: $0 == 0 && !isMatched)) }))
            let changes = tried.first?.changes ?? []
            if case .refused = answer, !changes.isEmpty {
                _ = json.append("changes", .array(changes.map { .object($0) }))
            }
            _ = json.append("omitted_rules", .number(Double(omittedRules)))
            _ = json.append("warnings", .array(warnings.map { .string(ExactString($0)) }))
            return json
        }
    }

    /// A part of a replay.
    package struct RuleReplayPart: Sendable {
        package let counts: RuleReplay.Counts
        package let groups: [RuleReplay.Group]
        package let next: HistoryPosition?
        package let warnings: [String]

        package init(
            counts: RuleReplay.Counts, groups: [RuleReplay.Group], next: HistoryPosition? = nil,
            warnings: [String] = []
        ) {
            self.counts = counts
            self.groups = groups
            self.next = next
            self.warnings = warnings
        }

        package var json: JSONObject {
            var json: JSONObject = [
                "examined": .number(Double(counts.examined)), "unchanged": .number(Double(counts.unchanged)),
                "not_by_rules": .number(Double(counts.otherwise)),
            ]
            for change in RuleReplay.Change.allCases {
                _ = json.append(ExactString(change.rawValue), .number(Double(counts.byChange[change] ?? 0)))
            }
            _ = json.append("ungrouped", .number(Double(counts.ungrouped)))
            _ = json.append("groups", .array(groups.map { .object($0.json) }))
            if let next { _ = json.append("next", .string(ExactString(next.description))) }
            _ = json.append("warnings", .array(warnings.map { .string(ExactString($0)) }))
            return json
        }
    }
}

extension FederationIDs {
    fileprivate var json: JSONObject {
        var json = JSONObject()
        for parameter in Parameter.allCases {
            if let id = self[parameter] { _ = json.append(ExactString(parameter.rawValue), .string(id)) }
        }
        return json
    }
}

extension GrantTerms {
    fileprivate var json: JSONObject {
        var json: JSONObject = [
            "scope": AdministrationAPI.json(scope.map(\.text)), "ttl_seconds": .number(timeToLive.seconds),
            "max_session_seconds": .number(maximumSession.seconds), "bind": .bool(bindsCertificate),
        ]
        if let models { _ = json.append("models", AdministrationAPI.json(models.map(\.pattern))) }
        return json
    }
}

extension RuleReplay.Group {
    fileprivate var json: JSONObject {
        var json: JSONObject = ["change": .string(ExactString(key.change.rawValue)), "subject": .string(key.subject)]
        if let before = key.before { _ = json.append("before", .string(before)) }
        if let after = key.after { _ = json.append("after", .string(after)) }
        if !key.differs.isEmpty {
            _ = json.append("differs", .array(key.differs.map { .string(ExactString($0)) }))
        }
        if !key.unknownTerms.isEmpty {
            _ = json.append("unknown_terms", .array(key.unknownTerms.map { .string(ExactString($0)) }))
        }
        for (name, scope) in [("gained_scope" as ExactString, key.gainedScope), ("lost_scope", key.lostScope)]
        where !scope.isEmpty {
            _ = json.append(name, AdministrationAPI.json(scope.map(\.text)))
        }
        if let reason = key.reason { _ = json.append("reason", .string(ExactString(reason.rawValue))) }
        if !key.claims.isEmpty { _ = json.append("claims", AdministrationAPI.json(key.claims)) }
        _ = json.append("in_force", .bool(key.isInForce))
        _ = json.append("count", .number(Double(count)))
        _ = json.append("last", AdministrationAPI.json(last))
        _ = json.append("trace", .string(ExactString(trace.description)))
        return json
    }
}

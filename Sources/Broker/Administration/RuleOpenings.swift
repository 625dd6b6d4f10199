import JOSE

/// To whom a rule grants a scope, in words.
struct RuleOpenings {
    private let issuers: [IssuerName: IssuerConfiguration]

    init(_ configuration: BrokerConfiguration) {
        issuers = Dictionary(configuration.issuers.map { ($0.name, $0) }) { first, _ in first }
    }

    /// Nil where the rule does not open what takes the scope.
    func opening(of scope: Scope, by rule: Rule) -> AdministrationAPI.RuleOpening? {
        let through = rule.terms.scope.contains(scope) ? scope : rule.terms.scope.first { $0.stands(for: scope) }
        guard let through else { return nil }
        let required = issuers[rule.issuer]?.requiredClaims ?? []
        return AdministrationAPI.RuleOpening(
            rule: rule.name, issuer: rule.issuer.text, whom: whom(rule), through: through == scope ? nil : through,
            isShared: !required.isEmpty, isOpen: rule.isOpen, cautions: cautions(rule, required))
    }

    private func whom(_ rule: Rule) -> String {
        let source =
            rule.issuer.trustDomain.map { "workloads of the trust domain \($0)" } ?? "subjects of \(rule.issuer)"
        var words = "\(source) whose " + Self.joined(rule.matchers.map(\.words), "and")
        let ids = FederationIDs.Parameter.allCases.compactMap { parameter in
            rule.federation[parameter].map { "\(parameter.rawValue) \($0)" }
        }
        if !ids.isEmpty { words += ", where the request names " + Self.joined(ids, "and") }
        if rule.terms.bindsCertificate { words += ", with a client certificate" }
        if rule.terms.isForBroker { words += ", when they ask for it or name the rule" }
        return words
    }

    private func cautions(_ rule: Rule, _ required: [ExactString]) -> [String] {
        var cautions: [String] = []
        if rule.isOpen {
            let source = rule.issuer.trustDomain.map { "every workload of \($0)" } ?? "every subject of \(rule.issuer)"
            cautions.append("\(source) that has these claims at all: no value of them is demanded")
        }
        if !required.isEmpty {
            let pins = rule.matchers.filter { matcher in
                matcher.isExact && required.contains(where: matcher.claim.isSame(as:))
            }
            cautions.append(
                "\(rule.issuer) signs tokens for everybody: only "
                    + Self.joined(pins.map(\.claim.text.string), "and") + " keeps others out")
        }
        return cautions
    }

    /// `a, b and c`
    static func joined(_ words: [String], _ last: String) -> String {
        guard words.count > 1, let end = words.last else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " \(last) \(end)"
    }
}

extension Scope {
    /// Whether it opens what takes `scope`: `daypass:admin` opens each part of the administration.
    fileprivate func stands(for scope: Scope) -> Bool {
        text == "daypass:admin" && scope.isOwn && scope != .introspect && scope != .revocations
    }
}

extension Rule {
    private static let saysNothing: Set<ExactString> = ["aud", "iss", "exp", "iat", "nbf"]

    /// Whether every subject of the issuer with these claims matches, whatever they are.
    fileprivate var isOpen: Bool {
        matchers.allSatisfy { matcher in
            Self.saysNothing.contains(matcher.claim.topLevelName)
                || matcher.anyOf.contains { if case .text(let glob) = $0 { glob.matchesEverything } else { false } }
        }
    }
}

extension ClaimMatcher {
    private static let maximumShown = 5

    /// `ref is refs/heads/main or like refs/tags/*`
    fileprivate var words: String {
        var values = anyOf.prefix(Self.maximumShown).map { pattern in
            switch pattern {
            case .text(let glob) where glob.hasWildcard: "like \(pattern)"
            case .text(let glob): "\(glob.onlyText?.string ?? pattern.description)"
            case .bool, .number: "\(pattern) (no text)"
            }
        }
        let more = anyOf.count - Self.maximumShown
        if more > 0 { values.append("one of \(more) more") }
        return "\(claim) is " + RuleOpenings.joined(values, "or")
    }
}

internal import Broker
internal import JOSE

/// `grant` of a rule
enum GrantSection {
    static let defaultTimeToLive: Duration = .seconds(15 * 60)

    /// - Parameter tokens: of its audiences the first is the default; nil after an error in them.
    static func terms(_ node: YAMLNode, tokens: TokenConfiguration?, problems: Problems) -> GrantTerms? {
        let fields = Fields(
            node, "a grant",
            known: ["scope", "ttl", "max_session", "models", "audiences", "bind", "explain_to_caller"],
            later: ["limits"], problems: problems)
        guard let fields else { return nil }
        let scope = fields.required("scope")?.list(problems, of: "scopes")?.unique(problems) {
            self.scope($0, problems)
        }
        if let scope, scope.contains(where: \.isReserved), !isForBroker(scope, fields, problems) { return nil }
        let ttl =
            fields["ttl"].map { $0.duration(problems, atMost: GrantTerms.longestSession) } ?? defaultTimeToLive
        let session = fields["max_session"].map { self.session($0, atLeast: ttl, problems) } ?? ttl
        let models = fields["models"].map { self.models($0, problems) } ?? .some(nil)
        let standard = (scope?.first?.isReserved == true ? tokens.map { [$0.issuer] } : tokens?.audiences)
        let audiences =
            fields["audiences"].map { self.audiences($0, configured: tokens?.audiences, problems) }
            ?? standard.map { Array($0.prefix(1)) }
        let binds = fields["bind"].map { $0.bool(problems) } ?? false
        let explains = fields["explain_to_caller"].map { $0.bool(problems) } ?? false
        guard let scope, let ttl, let session, let models, let audiences, let binds, let explains else { return nil }
        return GrantTerms(
            scope: scope, timeToLive: ttl, maximumSession: session, models: models, audiences: audiences,
            bindsCertificate: binds, explainsToCaller: explains)
            ?? node.refused(
                problems,
                "expected a grant whose scopes and models have at most \(GrantTerms.maximumTextLength) bytes together")
    }

    private static func scope(_ node: YAMLNode, _ problems: Problems) -> Scope? {
        let expected = "a scope such as anthropic:messages, of 1 to 128 characters without spaces and quotes"
        guard let text = node.text(problems, expected: expected) else { return nil }
        guard let scope = Scope(parsing: text) else { return node.refused(problems, "expected \(expected)") }
        guard scope.isReserved, !scope.isOwn else { return scope }
        let advice = text.nearest(among: Scope.ownTexts).map { "; did you mean \($0.quoted)?" } ?? ""
        return node.refused(
            problems,
            "\(text.quoted) is none of the broker's own scopes, which are \(Scope.ownTexts.joined(separator: ", "))"
                + advice)
    }

    /// Whether a grant with one of the broker's own scopes has nothing but what such a grant may have.
    private static func isForBroker(_ scope: [Scope], _ fields: Fields, _ problems: Problems) -> Bool {
        guard scope.allSatisfy(\.isReserved) else {
            problems.add(
                fields["scope"]?.place ?? fields.place,
                "scopes that start with daypass: stand in a grant of their own: their tokens are for the broker itself, "
                    + "and no gateway takes one")
            return false
        }
        let reasons: KeyValuePairs = [
            "max_session": "their tokens are not renewed", "models": "their tokens open no model",
            "audiences": "their tokens are for the broker itself",
        ]
        let present = reasons.filter { fields[$0.key] != nil }
        for (key, reason) in present {
            problems.add(
                fields[key]?.place ?? fields.place,
                "\(key) does not stand beside scopes that start with daypass: \(reason)")
        }
        return present.isEmpty
    }

    private static func session(_ node: YAMLNode, atLeast ttl: Duration?, _ problems: Problems) -> Duration? {
        guard let session = node.duration(problems, atMost: GrantTerms.longestSession) else { return nil }
        if let ttl, session < ttl {
            return node.refused(problems, "expected a duration of at least the grant's ttl, which is \(ttl.written)")
        }
        return session
    }

    private static func models(_ node: YAMLNode, _ problems: Problems) -> [Glob]?? {
        let globs = node.list(problems, of: "model names")?.unique(problems) { node -> Glob? in
            guard let text = node.text(problems, expected: "the name of a model, or a pattern such as claude-sonnet-*")
            else { return nil }
            do {
                return try Glob(parsing: text)
            } catch {
                return node.refused(problems, "\(error)")
            }
        }
        return globs.map { .some($0) }
    }

    private static func audiences(
        _ node: YAMLNode, configured: [ExactString]?, _ problems: Problems
    ) -> [ExactString]? {
        node.list(problems, of: "audiences")?.unique(problems) { node in
            guard let audience = node.audience(problems) else { return nil }
            if let configured, !configured.contains(audience) {
                return node.refused(
                    problems, "expected one of tokens.audiences, which does not have \(audience.string.quoted)")
            }
            return audience
        }
    }
}

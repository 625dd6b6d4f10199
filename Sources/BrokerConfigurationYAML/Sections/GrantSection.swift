internal import Broker
internal import JOSE

/// `grant` of a rule
enum GrantSection {
    static let defaultTimeToLive: Duration = .seconds(15 * 60)

    /// - Parameter configured: `tokens.audiences`, of which the first is the default; nil after an error in them.
    static func terms(_ node: YAMLNode, audiences configured: [ExactString]?, problems: Problems) -> GrantTerms? {
        let fields = Fields(
            node, "a grant", known: ["scope", "ttl", "max_session", "models", "audiences"],
            later: ["bind", "limits", "explain_to_caller"], problems: problems)
        guard let fields else { return nil }
        let scope = fields.required("scope")?.list(problems, of: "scopes")?.unique(problems) {
            self.scope($0, problems)
        }
        let ttl =
            fields["ttl"].map { $0.duration(problems, atMost: GrantTerms.longestSession) } ?? defaultTimeToLive
        let session = fields["max_session"].map { self.session($0, atLeast: ttl, problems) } ?? ttl
        let models = fields["models"].map { self.models($0, problems) } ?? .some(nil)
        let audiences =
            fields["audiences"].map { self.audiences($0, configured: configured, problems) }
            ?? configured.map { Array($0.prefix(1)) }
        guard let scope, let ttl, let session, let models, let audiences else { return nil }
        return GrantTerms(
            scope: scope, timeToLive: ttl, maximumSession: session, models: models, audiences: audiences)
            ?? node.refused(
                problems,
                "expected a grant whose scopes and models have at most \(GrantTerms.maximumTextLength) bytes together")
    }

    private static func scope(_ node: YAMLNode, _ problems: Problems) -> Scope? {
        let expected = "a scope such as anthropic:messages, of 1 to 128 characters without spaces and quotes"
        return node.text(problems, expected: expected).flatMap {
            Scope(parsing: $0) ?? node.refused(problems, "expected \(expected)")
        }
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

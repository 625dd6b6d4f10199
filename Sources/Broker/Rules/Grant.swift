package import JOSE

/// What a rule that matched allows this caller. Only `RuleSet.match` makes one, and it only ever narrows.
package struct Grant: Sendable {
    package let rule: ExactString
    package private(set) var scope: [Scope]
    package private(set) var audience: ExactString
    package let models: [Glob]?
    package let timeToLive: Duration
    package let maximumSession: Duration
    private let audiences: [ExactString]

    init(_ match: RuleSet.Match) {
        let terms = match.rule.terms
        rule = match.rule.name
        scope = terms.scope
        audience = terms.audiences[0]
        audiences = terms.audiences
        models = terms.models
        timeToLive = terms.timeToLive
        maximumSession = terms.maximumSession
    }

    /// The grant with no more than what was asked for. Nil asks for everything.
    /// - Parameter targets: `audience` and `resource` parameters (RFC 8693 §2.1); all have to name one audience of the
    ///   grant, since a gateway token has one.
    /// - Throws: `.scope` or `.target` for more than is granted.
    package func narrowed(toScope requested: [Scope]?, targets: [ExactString]) throws(NarrowingFailure) -> Grant {
        var grant = self
        if let requested {
            guard !requested.isEmpty, requested.allSatisfy(scope.contains) else { throw .scope }
            grant.scope = scope.filter(requested.contains)
        }
        if let target = targets.first {
            guard targets.allSatisfy({ $0 == target }), audiences.contains(target) else { throw .target }
            grant.audience = target
        }
        return grant
    }

    package enum NarrowingFailure: Error, Sendable {
        case scope, target
    }
}

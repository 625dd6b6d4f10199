package import JOSE

/// What a rule that matched allows this caller. Only `RuleSet.match` makes one, and it only ever narrows.
package struct Grant: Sendable {
    package let rule: ExactString
    package private(set) var scope: [Scope]
    package private(set) var audience: ExactString
    package private(set) var models: [Glob]?
    package let timeToLive: Duration
    package let maximumSession: Duration
    package let bindsCertificate: Bool
    private var audiences: [ExactString]
    private var wholeScope: [Scope]

    init(_ match: RuleSet.Match) {
        let terms = match.rule.terms
        rule = match.rule.name
        scope = terms.scope
        wholeScope = terms.scope
        audience = terms.audiences[0]
        audiences = terms.audiences
        models = terms.models
        timeToLive = terms.timeToLive
        maximumSession = terms.maximumSession
        bindsCertificate = terms.bindsCertificate
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

    /// What it grants, beside what was asked for, for the record.
    func exceeded(by request: ExchangeRequest) -> JSONObject {
        var details: JSONObject = [
            "granted": [
                "scope": .array(scope.map { .string($0.text) }), "audiences": .array(audiences.map { .string($0) }),
            ]
        ]
        if let asked = request.asked { _ = details.append("asked", .object(asked)) }
        return details
    }

    /// Whether its tokens are for the broker itself.
    var isForBroker: Bool { scope[0].isReserved }

    /// Whether nothing less than all was asked for.
    package var isWhole: Bool { scope == wholeScope }

    /// What both the grant and a token that was minted before allow; nil where that is nothing.
    ///
    /// Of two lists of model patterns it keeps those of one that a pattern of the other covers: at most what both allow,
    /// and less where two patterns only overlap.
    package func intersected(with token: GatewayClaims) -> Grant? {
        guard audiences.contains(token.audience) else { return nil }
        var grant = self
        grant.scope = token.scope.filter(scope.contains)
        grant.wholeScope = grant.scope
        grant.audience = token.audience
        grant.audiences = [token.audience]
        if let theirs = token.models, theirs != models {
            grant.models = models.map { Self.intersection(of: $0, theirs) } ?? theirs
        }
        return grant.scope.isEmpty || grant.models?.isEmpty == true ? nil : grant
    }

    private static func intersection(of ours: [Glob], _ theirs: [Glob]) -> [Glob] {
        func covered(_ globs: [Glob], by others: [Glob]) -> [Glob] {
            globs.filter { glob in others.contains { $0.covers(glob) } }
        }
        let kept = covered(theirs, by: ours)
        return kept + covered(ours, by: theirs).filter { !kept.contains($0) }
    }

    /// What was asked for beyond the grant.
    package enum NarrowingFailure: Error, Sendable {
        case scope, target
    }
}

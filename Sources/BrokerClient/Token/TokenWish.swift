/// What somebody wants a gateway token for.
package struct TokenWish: Sendable {
    /// As `BrokerAddress.origin(parsing:)` returns it.
    package var origin: String
    package var identity: Identity
    /// What the broker expects in the identity token's `aud`.
    package var audience: String
    /// What is asked for; empty is all that the rule grants.
    package var scope: [String]
    package var rule: String?
    /// A PEM file; the system's authorities where it is nil.
    package var authorities: String?
    package var minimumLife: Duration
    /// Whether a kept token is only for where no new one can be got.
    package var isFresh: Bool

    package init(
        origin: String, identity: Identity, audience: String, scope: [String] = [], rule: String? = nil,
        authorities: String? = nil, minimumLife: Duration = .seconds(360), isFresh: Bool = false
    ) {
        self.isFresh = isFresh
        (self.origin, self.identity, self.audience) = (origin, identity, audience)
        // In one order, whatever order they were named in.
        self.scope = Set(scope).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        (self.rule, self.authorities, self.minimumLife) = (rule, authorities, minimumLife)
    }
}

extension TokenSession {
    /// - Parameters:
    ///   - environment: of this process.
    ///   - note: is told what a person should know, in one line.
    package init(
        _ wish: TokenWish, in environment: [String: String], note: @escaping @Sendable (String) -> Void
    ) throws(TokenFailure) {
        if wish.identity == .login {
            guard wish.rule == nil else {
                throw .unusable("a sign-in has the rule that it was approved with: leave --rule out")
            }
            let broker = try SignedInBroker(wish, in: environment, note: note)
            let cache = Self.cache(wish, broker.distinction, in: environment, note)
            self.init(broker, broker, cache, minimumLife: wish.minimumLife, isFresh: wish.isFresh, note: note)
            return
        }
        let source = IdentitySource(wish.identity, audience: wish.audience, environment: environment)
        let distinction = try source.distinction()
        var certificate: (chain: String, key: String)?
        if case .certificate(let chain, let key) = wish.identity { certificate = (chain, key) }
        let broker = TokenExchangeClient(
            wish.origin, scope: wish.scope.isEmpty ? nil : wish.scope.joined(separator: " "), rule: wish.rule,
            authorities: wish.authorities, certificate: certificate)
        let cache = distinction.flatMap { Self.cache(wish, $0, in: environment, note) }
        self.init(
            source, broker, cache, proof: distinction?.proof ?? .inKey, minimumLife: wish.minimumLife,
            isFresh: wish.isFresh, note: note)
    }

    private static func cache(
        _ wish: TokenWish, _ distinction: Distinction, in environment: [String: String],
        _ note: @Sendable (String) -> Void
    ) -> TokenCache? {
        guard let place = CachePlace(in: environment) else {
            note("the token is not kept: neither XDG_CACHE_HOME, HOME nor XDG_RUNTIME_DIR is set")
            return nil
        }
        // No part of it has a line feed.
        let key = [
            wish.origin, distinction.key, wish.audience, wish.scope.joined(separator: " "),
            wish.rule.map { "rule \($0)" } ?? "", wish.authorities ?? "",
        ].joined(separator: "\n")
        do throws(CacheFailure) {
            return try TokenCache(place, key: key)
        } catch {
            note("the token is not kept: \(error.words)")
            return nil
        }
    }
}

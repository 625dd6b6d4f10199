import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

/// What most tests stand on: one instant, one audience, issuers whose keys are made once, and short ways to a subject.
enum Fixture {
    static let now = Date(timeIntervalSince1970: 1_800_000_000)
    static let audience = "https://daypass.example.com"
    static let gateway: ExactString = "https://gateway.example.com"
    /// `iss` of gateway tokens.
    static let broker: ExactString = "https://daypass.example.com"

    private static let rsaIssuer = Result { try TestIssuer() }
    private static let otherRSAIssuer = Result { try TestIssuer("https://other.example.com") }
    private static let quickIssuer = Result { try TestIssuer(algorithm: .EdDSA) }
    private static let agentIssuer = Result { try TestIssuer("https://agents.example.com", algorithm: .EdDSA) }

    /// RS256
    static var issuer: TestIssuer { get throws { try rsaIssuer.get() } }
    /// RS256, another key and another name.
    static var otherIssuer: TestIssuer { get throws { try otherRSAIssuer.get() } }
    /// EdDSA: signs and verifies quickly.
    static var quick: TestIssuer { get throws { try quickIssuer.get() } }

    /// EdDSA, another name: vouches for those who act for others.
    static var agents: TestIssuer { get throws { try agentIssuer.get() } }

    static func name(_ text: String = "corp") throws -> IssuerName {
        try #require(IssuerName(parsing: text))
    }

    static func configuration(
        _ issuer: TestIssuer, name: String = "corp", audience: String = audience,
        algorithms: Set<JWSAlgorithm>? = nil, maximumLifetime: Duration = .seconds(3600),
        requiredClaims: [ExactString] = [], replay: ReplayPolicy = .standard
    ) throws -> IssuerConfiguration {
        IssuerConfiguration(
            name: try Self.name(name), issuer: ExactString(issuer.issuer), audience: ExactString(audience),
            algorithms: algorithms ?? [issuer.algorithm], maximumLifetime: maximumLifetime,
            requiredClaims: requiredClaims, replay: replay)
    }

    static func trusted(_ issuer: TestIssuer, _ configuration: IssuerConfiguration? = nil) throws -> TrustedIssuer {
        let configuration = try configuration ?? Self.configuration(issuer)
        return TrustedIssuer(
            configuration: configuration,
            keys: IssuerKeys(name: configuration.name, keys: try issuer.keySet, clock: ManualClock()))
    }

    static func authenticator(
        _ issuer: TestIssuer, _ configuration: IssuerConfiguration? = nil
    ) throws -> JWTAuthenticator {
        JWTAuthenticator([try trusted(issuer, configuration)])
    }

    /// A verified subject with these claims beside those that every token needs.
    static func subject(_ claims: JSONObject = [:], issuerName: String = "corp") async throws -> VerifiedSubject {
        let issuer = try quick
        let token = try issuer.token(issuer.claims(at: now).merging(claims))
        return try await authenticator(issuer, configuration(issuer, name: issuerName))
            .authenticate(SecretText(token), at: now)
    }

    static func terms(
        scope: [String] = ["anthropic:messages"], timeToLive: Duration = .seconds(900),
        maximumSession: Duration? = nil, models: [String]? = nil, audiences: [ExactString] = [gateway]
    ) throws -> GrantTerms {
        let scope = try scopes(scope)
        let models = try models?.map { try Glob(parsing: $0) }
        return try #require(
            GrantTerms(
                scope: scope, timeToLive: timeToLive, maximumSession: maximumSession, models: models,
                audiences: audiences))
    }

    static func scopes(_ texts: [String]) throws -> [Scope] {
        try texts.map { try #require(Scope(parsing: $0)) }
    }

    static func matcher(_ claim: String, _ anyOf: ClaimMatcher.Pattern...) throws -> ClaimMatcher {
        ClaimMatcher(claim: try #require(ClaimPath(parsing: claim)), anyOf: anyOf)
    }

    static func matcher(_ claim: String, _ texts: [String]) throws -> ClaimMatcher {
        ClaimMatcher(
            claim: try #require(ClaimPath(parsing: claim)), anyOf: try texts.map { .text(try Glob(parsing: $0)) })
    }

    static func rule(
        _ name: String = "ci-main", issuer: String = "corp", match: [ClaimMatcher], terms: GrantTerms? = nil
    ) throws -> Rule {
        let (issuer, terms) = (try Self.name(issuer), try terms ?? Self.terms())
        return try #require(Rule(name: name, issuer: issuer, matchers: match, terms: terms))
    }

    /// A rule of text patterns.
    static func rule(
        _ name: String = "ci-main", issuer: String = "corp", texts: [(String, [String])], terms: GrantTerms? = nil
    ) throws -> Rule {
        try rule(name, issuer: issuer, match: try texts.map { try matcher($0.0, $0.1) }, terms: terms)
    }

    static func rules(_ rules: Rule...) throws -> RuleSet {
        try RuleSet(rules, issuers: [configuration(quick)], broker: Fixture.broker)
    }

    /// Of nothing that is served; what it has besides decides nothing in tests of this target.
    static func configuration(
        issuers: [IssuerConfiguration] = [], trustDomains: [TrustDomainConfiguration] = [], _ rules: [Rule] = []
    ) throws -> BrokerConfiguration {
        let address = ListenAddress(host: "127.0.0.1", port: 0)
        return BrokerConfiguration(
            server: ServerConfiguration(
                publicListener: address, publicURL: broker.string, telemetryListener: address),
            tokens: TokenConfiguration(issuer: broker, audiences: [gateway]), verify: VerifyConfiguration(),
            store: .sqlite(path: "/x"), audit: AuditConfiguration(), masterKeyFile: "/k", issuers: issuers,
            trustDomains: trustDomains,
            rules: try RuleSet(rules, issuers: issuers, trustDomains: trustDomains.map(\.name), broker: broker))
    }

    /// A master key and two signing keys, the active one and the staged one.
    static func keyRing(
        _ masterKey: MasterKey? = nil, algorithm: JWSAlgorithm = .ES256
    ) throws -> KeyRing {
        let masterKey = try masterKey ?? MasterKey.generate().0
        return try KeyRing(
            opening: [
                SigningKey.generate(algorithm, state: .active, sealedWith: masterKey, at: now),
                SigningKey.generate(algorithm, state: .staged, sealedWith: masterKey, at: now),
            ], with: masterKey)
    }
}

/// Why `token` is refused; nil where it is accepted.
func refusal(
    of token: String, by authenticator: JWTAuthenticator, at now: Date = Fixture.now
) async -> AuthenticationFailure.Reason? {
    do throws(AuthenticationFailure) {
        _ = try await authenticator.authenticate(SecretText(token), at: now)
        return nil
    } catch {
        return error.reason
    }
}

extension RuleSet.Outcome {
    var grant: Grant? { if case .granted(let grant) = self { grant } else { nil } }
    var explanation: Explanation? { if case .refused(let explanation) = self { explanation } else { nil } }
}

extension ClaimMatcher.Pattern {
    static func glob(_ pattern: String) throws -> Self { .text(try Glob(parsing: pattern)) }
}

extension TokenMint {
    /// A session of `subject`, and its first token.
    func mint(
        _ subject: VerifiedSubject, _ grant: Grant, keeping claims: JSONObject, at now: Date
    ) throws -> (GatewayToken, SessionRecord) {
        let session = try session(for: subject, since: 0, grant, actor: nil, keeping: claims, at: now)
        return (try token(of: session, grant, at: now), session)
    }
}

import Broker
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

/// Whole exchanges of SVIDs over fakes: two trust domains and an OIDC issuer, rules that bind and rules that do not.
struct SVIDBench {
    let domain: TestTrustDomain
    let other: TestTrustDomain
    let issuer: TestIssuer
    let clock: ManualClock
    let store = MemoryStore()
    let bundles: TrustBundles
    let verifier: TokenVerifier
    let exchange: TokenExchange

    private static let domains = Result { (try TestTrustDomain(), try TestTrustDomain("other.example.com")) }

    /// - Parameters:
    ///   - bound: whether the rule `ml` binds tokens to certificates.
    ///   - earlier: the bench whose store, clock and keys this one has.
    init(
        bound: Bool = false, maximumLifetime: Duration = .seconds(3600), replay: ReplayPolicy = .standard,
        after earlier: SVIDBench? = nil
    ) throws {
        (domain, other) = try Self.domains.get()
        issuer = try Fixture.quick
        clock = earlier?.clock ?? ManualClock()
        let ring = try Fixture.keyRing()
        let trusted = [
            try domain.configuration(maximumLifetime: maximumLifetime, replay: replay), try other.configuration(),
        ]
        let bundles = TrustBundles(trusted, clock: clock)
        let certificates = X509SVIDAuthenticator { bundles.current }
        let corp = try Fixture.configuration(issuer)
        let tokens = TokenConfiguration(issuer: "https://daypass.example.com", audiences: ExchangeBench.audiences)
        self.bundles = bundles
        verifier = TokenVerifier(
            tokens: tokens, policy: VerifyConfiguration(), state: StateHolder(BrokerState(keyRing: ring)))
        exchange = TokenExchange(
            authenticator: JWTAuthenticator(
                [try Fixture.trusted(issuer)], svids: JWTSVIDAuthenticator(trusted) { bundles.current }),
            certificates: certificates,
            rules: try RuleSet(
                Self.rules(domain, bound: bound), issuers: [corp], trustDomains: trusted.map(\.name),
                broker: Fixture.broker),
            mint: TokenMint(issuer: tokens.issuer, state: { BrokerState(keyRing: ring) }, random: SystemRandom()),
            verifier: verifier,
            store: store, keptClaims: .matched, clock: clock, logger: LogRecorder().logger)
    }

    private static func rules(_ domain: TestTrustDomain, bound: Bool) throws -> [Rule] {
        let scope = try Fixture.scopes(["a:read", "a:write"])
        let terms = try #require(
            GrantTerms(
                scope: scope, timeToLive: .seconds(900), maximumSession: .seconds(3600),
                audiences: [Fixture.gateway], bindsCertificate: bound))
        let match = [try Fixture.matcher("spiffe_id", ["spiffe://\(domain.name)/ns/ml/sa/*"])]
        return [
            try #require(Rule(name: "ml", issuer: IssuerName(domain.name), matchers: match, terms: terms)),
            try Fixture.rule("corp", texts: [("sub", ["alice", "spiffe:**"])], terms: terms),
        ]
    }

    func request(
        _ subject: ExchangeRequest.Subject, with certificate: PresentedCertificate? = nil, actor: String? = nil,
        scope: [String]? = nil
    ) throws -> ExchangeRequest {
        ExchangeRequest(
            trace: TraceID(), subject: subject, actorToken: actor.map(SecretText.init),
            scope: try scope.map { try Fixture.scopes($0) }, certificate: certificate)
    }

    /// What the connection's own certificate gets.
    func opened(_ peer: PeerIdentity) async throws -> ExchangeResponse {
        try await exchange.exchange(request(.certificate(peer), with: .connection(peer)))
    }

    func opened(_ token: String, with certificate: PresentedCertificate? = nil) async throws -> ExchangeResponse {
        try await exchange.exchange(request(.proof(SecretText(token)), with: certificate))
    }

    /// The refusal's case and the reasons on the record; nil where it was granted.
    func refusal(_ request: ExchangeRequest) async throws -> String? {
        do throws(ExchangeRefusal) {
            _ = try await exchange.exchange(request)
            return nil
        } catch {
            let reasons = try await store.auditEvents(trace: request.trace).map { $0.reason ?? "granted" }
            return "\(error.name): \(reasons.joined(separator: ", "))"
        }
    }

    func refusal(_ peer: PeerIdentity) async throws -> String? {
        try await refusal(request(.certificate(peer), with: .connection(peer)))
    }

    func refusal(_ token: String, with certificate: PresentedCertificate? = nil) async throws -> String? {
        try await refusal(request(.proof(SecretText(token)), with: certificate))
    }

    func refusal(
        renewing response: ExchangeResponse, with certificate: PresentedCertificate? = nil, scope: [String]? = nil
    ) async throws -> String? {
        try await refusal(request(.gatewayToken(response.accessToken), with: certificate, scope: scope))
    }

    func payload(_ response: ExchangeResponse) throws -> JSONObject {
        let payload = TokenSegments(response.accessToken.reveal()).payload
        return try JSONReader.readObject(Base64URL.decode(ExactString(payload)), depth: 16)
    }
}

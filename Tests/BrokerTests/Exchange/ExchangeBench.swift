import Broker
import BrokerTesting
import Foundation
import JOSE
import Logging
import Testing

/// A whole exchange over fakes: an issuer of subjects and one of actors, two rules, a memory store, a clock and a log.
struct ExchangeBench {
    static let audiences: [ExactString] = [Fixture.gateway, "https://second.example.com"]

    let issuer: TestIssuer
    let clock: ManualClock
    let store: MemoryStore
    let log = LogRecorder()
    let metrics: ExchangeMetrics
    let ring: KeyRing
    let state: StateHolder
    let revocations: Revocations
    let verifier: TokenVerifier
    let recent: RecentRefusals
    let exchange: TokenExchange

    /// - Parameters:
    ///   - name: of the issuer of subjects.
    ///   - rules: in place of `standardRules`.
    ///   - earlier: the bench whose clock, store and keys this one has, like a broker that was started again.
    ///   - wrap: what stands between the exchange and its store.
    ///   - wrapClock: what stands between the exchange and its clock.
    init(
        issuer: TestIssuer? = nil, name: String = "corp", keptClaims: AuditConfiguration.Claims = .matched,
        random: any RandomSource = SystemRandom(), fetcher: StubKeySetFetcher? = nil,
        replay: ReplayPolicy = .standard, rules: [Rule]? = nil, after earlier: ExchangeBench? = nil,
        store: MemoryStore? = nil, metrics: ExchangeMetrics? = nil, restored: Date? = nil,
        wrap: (MemoryStore) -> any ExchangeStore = { $0 }, wrapClock: (ManualClock) -> any BrokerClock = { $0 }
    ) throws {
        let issuer = try issuer ?? earlier?.issuer ?? Fixture.quick
        let clock = earlier?.clock ?? ManualClock()
        let ring = try earlier?.ring ?? Fixture.keyRing()
        let store = store ?? earlier?.store ?? MemoryStore()
        let state = earlier?.state ?? StateHolder(BrokerState(keyRing: ring))
        self.state = state
        revocations =
            earlier?.revocations ?? Revocations(store, publishedIn: state, clock: clock, logger: log.logger)
        store.ask { state.current.revocations }
        let configuration = try Fixture.configuration(issuer, name: name, replay: replay)
        let keys: IssuerKeys
        if let fetcher {
            keys = IssuerKeys(name: configuration.name, fetcher: fetcher, clock: clock)
        } else {
            keys = IssuerKeys(name: configuration.name, keys: try issuer.keySet, clock: clock)
        }
        let agents = try Fixture.configuration(Fixture.agents, name: "agents")
        let tokens = TokenConfiguration(issuer: "https://daypass.example.com", audiences: Self.audiences)
        (self.issuer, self.clock, self.ring, self.store) = (issuer, clock, ring, store)
        let rules = try rules ?? Self.standardRules(issuer: name)
        let metrics = metrics ?? ExchangeMetrics(issuers: [configuration.name, agents.name], rules: rules)
        self.metrics = metrics
        recent = RecentRefusals(clock: clock)
        verifier = TokenVerifier(
            tokens: tokens, policy: VerifyConfiguration(), state: state, cache: VerificationCache(entries: 1000))
        exchange = TokenExchange(
            authenticator: JWTAuthenticator([
                TrustedIssuer(configuration: configuration, keys: keys), try Fixture.trusted(Fixture.agents, agents),
            ]),
            rules: try RuleSet(rules, issuers: [configuration, agents], broker: Fixture.broker),
            mint: TokenMint(issuer: tokens.issuer, state: { state.current }, random: random),
            verifier: verifier,
            store: wrap(store), keptClaims: keptClaims, clock: wrapClock(clock), logger: log.logger, metrics: metrics,
            recent: recent, restored: restored)
    }

    static func standardRules(issuer: String = "corp") throws -> [Rule] {
        let terms = try terms()
        let (main, tags) = (["refs/heads/main"], ["refs/tags/*"])
        return [
            try Fixture.rule("main", issuer: issuer, texts: [("sub", ["alice"]), ("ref", main)], terms: terms),
            try Fixture.rule("tags", issuer: issuer, texts: [("sub", ["alice"]), ("ref", tags)], terms: terms),
        ]
    }

    /// Tokens of 15 minutes in sessions of an hour.
    static func terms(
        scope: [String] = ["a:read", "a:write"], timeToLive: Duration = .seconds(900),
        maximumSession: Duration = .seconds(3600), models: [String]? = nil,
        audiences: [ExactString] = ExchangeBench.audiences
    ) throws -> GrantTerms {
        try Fixture.terms(
            scope: scope, timeToLive: timeToLive, maximumSession: maximumSession, models: models, audiences: audiences)
    }

    /// The rule `main` with other terms or another match.
    static func main(
        _ terms: GrantTerms? = nil, issuer: String = "corp", match: [(String, [String])] = [("sub", ["alice"])]
    ) throws -> Rule {
        try Fixture.rule("main", issuer: issuer, texts: match, terms: try terms ?? Self.terms())
    }

    /// A subject token that the rule `main` matches, but for some claims.
    func token(_ changes: JSONObject = [:]) throws -> String {
        try issuer.token(
            issuer.claims(at: clock.now).merging(["ref": "refs/heads/main", "jti": "t1", "extra": "unread"])
                .merging(changes))
    }

    /// A token of the actors' issuer.
    func actorToken(_ name: String = "agent", _ changes: JSONObject = [:]) throws -> String {
        let agents = try Fixture.agents
        return try agents.token(agents.claims(subject: name, at: clock.now).merging(changes))
    }

    func request(
        _ token: String, actor: String? = nil, scope: [String]? = nil, targets: [ExactString] = [],
        rule: ExactString? = nil
    ) throws -> ExchangeRequest {
        ExchangeRequest(
            trace: TraceID(), client: "192.0.2.7", subject: .proof(SecretText(token)),
            actorToken: actor.map(SecretText.init),
            scope: try scope.map { try Fixture.scopes($0) }, targets: targets, rule: rule)
    }

    func renewal(
        of token: SecretText, actor: String? = nil, scope: [String]? = nil, targets: [ExactString] = []
    ) throws -> ExchangeRequest {
        ExchangeRequest(
            trace: TraceID(), client: "192.0.2.7", subject: .gatewayToken(token),
            actorToken: actor.map(SecretText.init),
            scope: try scope.map { try Fixture.scopes($0) }, targets: targets)
    }

    /// What a subject token gets.
    func opened(
        _ changes: JSONObject = [:], actor: String? = nil, scope: [String]? = nil, targets: [ExactString] = []
    ) async throws -> ExchangeResponse {
        try await exchange.exchange(request(token(changes), actor: actor, scope: scope, targets: targets))
    }

    /// What a gateway token gets.
    func renewed(
        _ response: ExchangeResponse, actor: String? = nil, scope: [String]? = nil, targets: [ExactString] = []
    ) async throws -> ExchangeResponse {
        try await exchange.exchange(renewal(of: response.accessToken, actor: actor, scope: scope, targets: targets))
    }

    /// The refusal of a request; nil where it was granted.
    func refusal(_ request: ExchangeRequest) async -> ExchangeRefusal? {
        do throws(ExchangeRefusal) {
            _ = try await exchange.exchange(request)
            return nil
        } catch {
            return error
        }
    }

    /// How a gateway token's renewal is refused: its case, and the reason on the record; nil where it was granted.
    func refusal(
        renewing response: ExchangeResponse, actor: String? = nil, scope: [String]? = nil, targets: [ExactString] = []
    ) async throws -> String? {
        let request = try renewal(of: response.accessToken, actor: actor, scope: scope, targets: targets)
        guard let refusal = await refusal(request) else { return nil }
        let reasons = try await store.auditEvents(trace: request.trace).map { $0.reason ?? "granted" }
        return "\(refusal.name): \(reasons.joined(separator: ", "))"
    }

    /// All claims of a gateway token, which has to be good by now.
    func claims(_ response: ExchangeResponse) throws -> JSONObject {
        _ = try verifier.claims(of: response.accessToken, presentedBy: nil, at: clock.now)
        let payload = TokenSegments(response.accessToken.reveal()).payload
        return try JSONReader.readObject(Base64URL.decode(ExactString(payload)), depth: 16)
    }
}

extension ExchangeRefusal {
    /// Its case, without the cause.
    var name: String {
        switch self {
        case .subjectToken: "subjectToken"
        case .unmatched: "unmatched"
        case .signedIn: "signedIn"
        case .client: "client"
        case .certificate: "certificate"
        case .scope: "scope"
        case .target: "target"
        case .unavailable: "unavailable"
        }
    }
}

import Broker
import BrokerTesting
import Foundation
import JOSE
import Logging
import Testing

/// A whole exchange over fakes: an issuer, two rules, a memory store, a clock and a log.
struct ExchangeBench {
    let issuer: TestIssuer
    let clock = ManualClock()
    let store = MemoryStore()
    let log = CapturedLog()
    let ring: KeyRing
    let exchange: TokenExchange

    init(
        keptClaims: AuditConfiguration.Claims = .matched, random: any RandomSource = SystemRandom(),
        fetcher: StubKeySetFetcher? = nil
    ) throws {
        let issuer = try Fixture.quick
        let ring = try Fixture.keyRing()
        let configuration = try Fixture.configuration(issuer)
        let keys: IssuerKeys
        if let fetcher {
            keys = IssuerKeys(name: configuration.name, fetcher: fetcher, clock: clock)
        } else {
            keys = IssuerKeys(name: configuration.name, keys: try issuer.keySet, clock: clock)
        }
        let terms = try Fixture.terms(
            scope: ["a:read", "a:write"], maximumSession: .seconds(3600),
            audiences: [Fixture.gateway, "https://second.example.com"])
        self.issuer = issuer
        self.ring = ring
        exchange = TokenExchange(
            authenticator: JWTAuthenticator([TrustedIssuer(configuration: configuration, keys: keys)]),
            rules: try Fixture.rules(
                Fixture.rule("main", texts: [("sub", ["alice"]), ("ref", ["refs/heads/main"])], terms: terms),
                Fixture.rule("tags", texts: [("sub", ["alice"]), ("ref", ["refs/tags/*"])], terms: terms)),
            mint: TokenMint(issuer: "https://daypass.example.com", keyRing: { ring }, random: random),
            store: store, keptClaims: keptClaims, clock: clock, logger: log.logger)
    }

    /// A subject token that the rule `main` matches, but for some claims.
    func token(_ changes: JSONObject = [:]) throws -> String {
        try issuer.token(
            issuer.claims(at: clock.now).merging(["ref": "refs/heads/main", "jti": "t1", "extra": "unread"])
                .merging(changes))
    }

    func request(
        _ token: String, scope: [String]? = nil, targets: [ExactString] = [], rule: ExactString? = nil
    ) throws -> ExchangeRequest {
        ExchangeRequest(
            trace: TraceID(), subjectToken: SecretText(token), scope: try scope.map { try Fixture.scopes($0) },
            targets: targets, rule: rule)
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
}

extension ExchangeRefusal {
    /// Its case, without the cause.
    var name: String {
        switch self {
        case .subjectToken: "subjectToken"
        case .scope: "scope"
        case .target: "target"
        case .unavailable: "unavailable"
        }
    }
}

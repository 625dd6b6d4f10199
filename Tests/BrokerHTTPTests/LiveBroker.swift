import AsyncHTTPClient
import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Testing

/// The real listeners in this process, over a store in memory and an issuer of the test's own, for as long as `body` runs.
struct LiveBroker: HTTPOrigin {
    static let audience = "https://daypass.example.com"

    let origin: String
    let telemetry: String
    let issuer: TestIssuer
    let store: any ExchangeStore
    let state: StateHolder
    let revocations: Revocations
    /// What `daypass explain` knows of refusals.
    let recent: RecentRefusals
    /// Nil where nobody signs in.
    let signIn: SignIn?
    let authenticator: JWTAuthenticator
    let rules: RuleSet

    /// - Parameter signsIn: whether people sign in, as subjects that the rule `ci` matches; their sessions are of an hour.
    static func run(
        store: any ExchangeStore = MemoryStore(), verify: VerifyConfiguration = .init(), maximumConnections: Int = 1000,
        exchangesPerSecond: Int = 1_000_000, exchangesUnderWay: Int = 1024, trustedProxies: [String] = [],
        connectionBounds: ConnectionBounds = .patient,
        loopBounds: LoopBounds = LoopBounds(delay: .seconds(3600)), log: LogRecorder? = nil,
        storeOutage: @escaping @Sendable () async -> Outage? = { nil },
        eventLoops: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, fastPath: FastPathLayers = .all,
        keyRing: KeyRing? = nil, clock: any BrokerClock = SystemClock(), signsIn: Bool = false,
        provider: (any IdentityProvider)? = nil,
        _ body: @escaping @Sendable (LiveBroker) async throws -> Void
    ) async throws {
        let issuer = try TestIssuer(algorithm: .ES256)
        let limits = ServerConfiguration.Limits(
            connections: maximumConnections, exchangesPerSecondPerAddress: exchangesPerSecond,
            exchangesUnderWay: exchangesUnderWay)
        let configuration = try configuration(issuer, verify, limits, trustedProxies, signsIn: signsIn)
        let recent = RecentRefusals()
        let state = StateHolder(BrokerState(keyRing: try keyRing ?? Self.keyRing()))
        let trusted = try configuration.issuers.map {
            TrustedIssuer(
                configuration: $0, keys: IssuerKeys(name: $0.name, keys: try issuer.keySet, clock: clock))
        }
        var logger = log?.logger ?? Logger(label: "test")
        if log == nil { logger.logLevel = .critical }
        let memory = store as? MemoryStore ?? MemoryStore()
        let revocations = Revocations(memory, publishedIn: state, clock: clock, logger: logger)
        memory.ask { state.current.revocations }
        let mint = TokenMint(
            issuer: configuration.tokens.issuer, state: { state.current }, random: SystemRandom())
        let (listening, listens) = AsyncStream<(BrokerServer.Listener, Int)>.makeStream()
        let verifier = TokenVerifier(
            tokens: configuration.tokens, policy: verify, state: state,
            cache: VerificationCache(entries: verify.cacheEntries),
            failures: FailedVerifications(perSecond: verify.failuresPerSecondPerAddress, clock: clock))
        let exchange = TokenExchange(
            authenticator: JWTAuthenticator(trusted), rules: configuration.rules, mint: mint, verifier: verifier,
            store: store, keptClaims: .matched, clock: clock, logger: logger)
        var signIn: SignIn?
        var current: (@Sendable () -> SignIn)?
        if signsIn {
            let (masterKey, _) = try MasterKey.generate()
            let parts = SignIn.Parts(
                devices: DeviceAuthorizations(clock: clock), masterKey: masterKey, provider: provider,
                logouts: LogoutTokens { trusted.first })
            let made = SignIn(
                parts, rules: configuration.rules, mint: mint, store: memory, revocations: revocations,
                keptClaims: .matched, clock: clock, logger: logger)
            signIn = made
            current = { made }
        }
        let server = BrokerServer(
            configuration: configuration, exchange: { exchange },
            verifier: verifier,
            state: { state.current }, issuers: trusted, revocations: revocations,
            signIn: current, clock: clock,
            storeOutage: storeOutage,
            metrics: BrokerMetrics(configuration, issuers: trusted), recent: recent, logger: logger,
            eventLoops: eventLoops,
            connectionBounds: connectionBounds, loopBounds: loopBounds, fastPath: fastPath
        ) { listens.yield(($0, $1.port ?? 0)) }
        let people = signIn
        let group = ServiceGroup(
            configuration: .init(services: server.services.map { .init(service: $0) }, logger: logger))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask {
                var ports: [BrokerServer.Listener: Int] = [:]
                for await (listener, port) in listening {
                    ports[listener] = port
                    if ports.count == 2 { break }
                }
                let broker = LiveBroker(
                    origin: "http://127.0.0.1:\(ports[.public] ?? 0)",
                    telemetry: "http://127.0.0.1:\(ports[.telemetry] ?? 0)", issuer: issuer, store: store,
                    state: state, revocations: revocations, recent: recent, signIn: people,
                    authenticator: JWTAuthenticator(trusted), rules: configuration.rules)
                let outcome = await Result { try await body(broker) }
                await group.triggerGracefulShutdown()
                try outcome.get()
            }
            for try await _ in tasks {}
        }
    }

    /// A token exchange with the usual parameters, and more.
    func exchange(_ subjectToken: String, _ more: [(String, String)] = []) async throws -> Answer {
        try await token(Self.exchangeParameters(subjectToken) + more)
    }

    static func exchangeParameters(_ subjectToken: String) -> [(String, String)] {
        [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"), ("subject_token", subjectToken),
        ]
    }

    /// A subject token that the rule `ci` matches, with some claims replaced.
    func subjectToken(_ changes: JSONObject = [:]) throws -> String {
        let claims = issuer.claims(subject: "job", at: Date()).merging(["repository_id": "1", "ref": "refs/heads/main"])
        return try issuer.token(claims.merging(changes))
    }

    /// A gateway token.
    func gatewayToken(_ changes: JSONObject = [:]) async throws -> String {
        let answer = try await exchange(subjectToken(changes))
        return try #require(answer.text("access_token"), "\(answer.body)")
    }

    private static func configuration(
        _ issuer: TestIssuer, _ verify: VerifyConfiguration, _ limits: ServerConfiguration.Limits,
        _ trustedProxies: [String], signsIn: Bool
    ) throws -> BrokerConfiguration {
        let name = try #require(IssuerName(parsing: "ci"))
        let issuers = [
            IssuerConfiguration(
                name: name, issuer: ExactString(issuer.issuer), audience: ExactString(audience),
                keys: .inline(try issuer.keySet, path: "issuer.json"), algorithms: [.ES256])
        ]
        let scope = try ["anthropic:messages", "anthropic:count_tokens"].map { try #require(Scope(parsing: $0)) }
        let main = ClaimMatcher(
            claim: try #require(ClaimPath(parsing: "ref")), anyOf: [.text(try Glob(parsing: "refs/heads/main"))])
        let repository = ClaimMatcher(
            claim: try #require(ClaimPath(parsing: "repository_id")), anyOf: [.text(try Glob(parsing: "1"))])
        let terms = try #require(
            GrantTerms(
                scope: scope, timeToLive: .seconds(900), maximumSession: signsIn ? .seconds(3600) : nil,
                models: [try Glob(parsing: "claude-sonnet-*")],
                audiences: ["https://gateway.example.com", "https://other.example.com"]))
        let rule = try #require(Rule(name: "ci", issuer: name, matchers: [repository, main], terms: terms))
        var ids = FederationIDs()
        ids[.organization] = "3e8f0a52-6b0f-4f0e-9a51-5b1c7d3a9e10"
        ids[.serviceAccount] = "svac_01"
        let federated = try #require(
            GrantTerms(
                scope: [scope[0]], timeToLive: .seconds(900), audiences: ["https://gateway.example.com"]))
        let sdk = try #require(
            Rule(name: "sdk", issuer: name, matchers: [repository, main], federation: ids, terms: federated))
        let own = try #require(
            GrantTerms(
                scope: [.introspect, .revocations], timeToLive: .seconds(900),
                audiences: ["https://broker.example.com"]))
        let gateways = try #require(Rule(name: "gateways", issuer: name, matchers: [repository], terms: own))
        return BrokerConfiguration(
            server: ServerConfiguration(
                publicListener: ListenAddress(host: "127.0.0.1", port: 0), publicURL: "https://broker.example.com",
                telemetryListener: ListenAddress(host: "127.0.0.1", port: 0),
                trustedProxies: try trustedProxies.map { try AddressBlock(parsing: $0) }, limits: limits),
            tokens: TokenConfiguration(
                issuer: "https://broker.example.com",
                audiences: ["https://gateway.example.com", "https://other.example.com"]),
            verify: verify, store: .sqlite(path: "/nonexistent"), audit: AuditConfiguration(),
            masterKeyFile: "/nonexistent", issuers: issuers,
            rules: try RuleSet([rule, sdk, gateways], issuers: issuers, broker: "https://broker.example.com"),
            signIn: signsIn ? SignInConfiguration(issuer: name, clientID: ExactString(audience)) : nil)
    }

    /// Two keys, one of which signs.
    static func keyRing() throws -> KeyRing {
        let (masterKey, _) = try MasterKey.generate()
        let records = try [SigningKeyRecord.State.active, .staged].map {
            try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: Date())
        }
        return try KeyRing(opening: records, with: masterKey)
    }
}

extension Result where Failure == any Error {
    init(catching body: () async throws -> Success) async {
        do {
            self = .success(try await body())
        } catch {
            self = .failure(error)
        }
    }
}

extension ConnectionBounds {
    /// For tests of something else: a machine that is busy with other tests must not look like a slow client.
    static let patient: ConnectionBounds = {
        var bounds = ConnectionBounds()
        (bounds.firstHead, bounds.body, bounds.response, bounds.idle) = (
            .minutes(5), .minutes(5), .minutes(5), .minutes(5)
        )
        return bounds
    }()
}

import AsyncHTTPClient
import Broker
import BrokerTesting
import Foundation
import Hummingbird
import HummingbirdCore
import JOSE
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization
import Testing

@testable import BrokerHTTP

/// The pages behind a listener of their own, with a provider that answers whatever a test wants.
struct LivePages: HTTPOrigin {
    static let publicURL = "https://daypass.example.com"

    let origin: String
    let devices: DeviceAuthorizations
    let clock: ManualClock
    let log: LogRecorder
    let issuer: TestIssuer
    let provider: LoopbackServer
    /// What the provider answers.
    let answers: Answers
    let store: MemoryStore
    let signIn: SignIn

    final class Answers: Sendable {
        /// Of the token endpoint.
        let next = Mutex(LoopbackServer.Answer.document("{}"))
        /// In the place of the discovery document.
        let discovery = Mutex<LoopbackServer.Answer?>(nil)
    }

    /// - Parameters:
    ///   - timeLimit: of each step at the provider.
    ///   - underWay: so many may wait for the provider at once.
    ///   - hasKeys: whether the provider's keys are known.
    ///   - publicURL: as it is configured.
    static func run(
        timeLimit: Duration = .seconds(60), underWay: Int = 1024, hasKeys: Bool = true,
        publicURL: String = Self.publicURL,
        _ body: @escaping @Sendable (LivePages) async throws -> Void
    ) async throws {
        let answers = Answers()
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            let origin = "http://127.0.0.1:\(port)"
            guard target.hasSuffix("/openid-configuration") else { return answers.next.withLock { $0 } }
            return answers.discovery.withLock { $0 }
                ?? .document(
                    #"{"issuer":"\#(origin)","authorization_endpoint":"\#(origin)/a","token_endpoint":"\#(origin)/t"}"#)
        }
        try await LoopbackServer.run(answer: answer) { server in
            try await run(server, answers, timeLimit, underWay, hasKeys, publicURL, body)
        }
    }

    private static func run(
        _ server: LoopbackServer, _ answers: Answers, _ timeLimit: Duration, _ underWay: Int, _ hasKeys: Bool,
        _ publicURL: String, _ body: @escaping @Sendable (LivePages) async throws -> Void
    ) async throws {
        let (clock, log) = (ManualClock(), LogRecorder())
        let issuer = try TestIssuer(server.origin, algorithm: .ES256)
        let name = try #require(IssuerName(parsing: "corp"))
        let configuration = IssuerConfiguration(
            name: name, issuer: ExactString(server.origin), audience: "daypass", algorithms: [.ES256],
            allowsPrivateAddresses: true)
        let keys =
            hasKeys
            ? IssuerKeys(name: name, keys: try issuer.keySet, clock: clock)
            : IssuerKeys(name: name, fetcher: StubKeySetFetcher(), clock: clock)
        let trusted = TrustedIssuer(configuration: configuration, keys: keys)
        let authenticator = JWTAuthenticator([trusted])
        let provider = try OpenIDProvider(
            issuer: configuration,
            client: .init(
                id: "daypass", secret: SecretText("secret"), scopes: ["openid"],
                redirectURI: publicURL + "/oauth/callback"),
            authenticator: { authenticator },
            fetcher: GuardedFetcher(resolver: StubResolver(), timeLimit: timeLimit), clock: clock)
        let devices = DeviceAuthorizations(clock: clock)
        let place = try SignInPlace(devices: devices, provider: provider)
        let (store, signIn) = try signIn(devices, trusted, try rules(configuration), clock, log)
        let pages = SignInPages(
            place: place, signIn: { signIn },
            limits: ExchangeLimits(
                ServerConfiguration(
                    publicListener: ListenAddress(host: "127.0.0.1", port: 0), publicURL: publicURL,
                    telemetryListener: ListenAddress(host: "127.0.0.1", port: 0),
                    limits: .init(exchangesPerSecondPerAddress: 1_000_000, exchangesUnderWay: underWay)),
                clock: clock,
                refusals: LimitRefusals(
                    metrics: RequestMetrics(maximumConnections: 100), clock: clock, logger: log.logger,
                    recent: RecentRefusals()),
                loopBounds: LoopBounds(delay: .seconds(3600))),
            publicURL: publicURL, clock: clock, logger: log.logger)
        let (listening, listens) = AsyncStream<Int>.makeStream()
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        let service = BrokerServer.listener(
            Routes(pages: pages), on: ListenAddress(host: "127.0.0.1", port: 0),
            MaximumAvailableConnections(100, logger: quiet), nil, nil, MultiThreadedEventLoopGroup.singleton, quiet,
            BrokerServer.channel { ConnectionLimits(.patient) }
        ) { listens.yield($0.port ?? 0) }
        let group = ServiceGroup(configuration: .init(services: [.init(service: service)], logger: quiet))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask {
                let port = await listening.first { _ in true } ?? 0
                let live = LivePages(
                    origin: "http://127.0.0.1:\(port)", devices: devices, clock: clock, log: log, issuer: issuer,
                    provider: server, answers: answers, store: store, signIn: signIn)
                let outcome = await Result { try await body(live) }
                await group.triggerGracefulShutdown()
                try outcome.get()
            }
            for try await _ in tasks {}
        }
    }

    private static func signIn(
        _ devices: DeviceAuthorizations, _ issuer: TrustedIssuer, _ rules: RuleSet, _ clock: ManualClock,
        _ log: LogRecorder
    ) throws -> (MemoryStore, SignIn) {
        let (store, state) = (MemoryStore(), StateHolder(BrokerState(keyRing: try LiveBroker.keyRing())))
        let revocations = Revocations(store, publishedIn: state, clock: clock, logger: log.logger)
        store.ask { state.current.revocations }
        let (masterKey, _) = try MasterKey.generate()
        let signIn = SignIn(
            SignIn.Parts(devices: devices, masterKey: masterKey, logouts: LogoutTokens { issuer }), rules: rules,
            mint: TokenMint(
                issuer: ExactString(publicURL), state: { state.current }, random: SystemRandom()),
            store: store, revocations: revocations, keptClaims: .matched, clock: clock, logger: log.logger)
        return (store, signIn)
    }

    /// Everybody in the group gets a session of an hour.
    private static func rules(_ issuer: IssuerConfiguration) throws -> RuleSet {
        let matcher = ClaimMatcher(
            claim: try #require(ClaimPath(parsing: "group")), anyOf: [.text(try Glob(parsing: "developers"))])
        let scope = try #require(Scope(parsing: "anthropic:messages"))
        let terms = try #require(
            GrantTerms(
                scope: [scope], timeToLive: .seconds(900),
                maximumSession: .seconds(3600), audiences: ["https://gateway.example.com"]))
        let rule = try #require(Rule(name: "people", issuer: issuer.name, matchers: [matcher], terms: terms))
        return try RuleSet([rule], issuers: [issuer], broker: "https://daypass.example.com")
    }

    private struct Routes: HTTPResponder {
        typealias Context = BrokerRequestContext
        let pages: SignInPages

        func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
            await pages.respond(to: request, context) ?? Response(status: .notFound)
        }
    }

    /// A device that waits.
    func device(_ description: DeviceDescription = .init(surface: "claude_code")) throws -> DeviceAuthorizations.Begun {
        let address = try #require(IPAddress(parsing: "203.0.113.7"))
        guard case .begun(let begun) = try devices.begin(from: address, asking: description) else {
            throw NoDevice()
        }
        return begun
    }

    struct NoDevice: Error {}

    /// What the device is told.
    func poll(_ device: DeviceAuthorizations.Begun) -> DeviceAuthorizations.Poll {
        clock.advance(by: .seconds(60))
        return devices.poll(device.deviceCode)
    }

    /// Somebody's device, signed in.
    @discardableResult func signedInDevice(_ subject: ExactString = "alice") async throws -> SignInResponse {
        let device = try device(.init(surface: "claude_code", name: "laptop"))
        var browser = TestBrowser(self)
        let query = try await browser.leave(for: device)
        try give(nonce: query.nonce, ["sub": .string(subject)])
        let done = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
        try #require(done.status == 200)
        return try await signIn.redeem(device.deviceCode, from: "203.0.113.7", under: TraceID())
    }

    /// What the provider says when somebody's session there has ended; a second before and after it nothing happens.
    func logOut(_ subject: String = "alice") async throws {
        clock.advance(by: .seconds(1))
        let claims = issuer.claims(subject: subject, audience: "daypass", at: clock.now).merging([
            "jti": .string(ExactString("\(TraceID())")),
            "events": ["http://schemas.openid.net/event/backchannel-logout": [:]],
        ])
        _ = try await signIn.logOut(
            by: SecretText(try issuer.token(claims)), from: "203.0.113.9", under: TraceID())
        clock.advance(by: .seconds(1))
    }

    /// The provider answers with an ID token for this nonce.
    func give(nonce: String, _ changes: JSONObject = [:]) throws {
        let claims = issuer.claims(audience: "daypass", at: clock.now)
            .merging(["nonce": .string(ExactString(nonce)), "group": "developers", "email": "alice@example.com"])
        let token = try issuer.token(claims.merging(changes))
        answers.next.withLock { $0 = .document(#"{"id_token":"\#(token)"}"#) }
    }
}

/// A browser, as far as cookies and forms go.
struct TestBrowser {
    /// A redirect is what a test wants to see.
    private static let client = HTTPClient(
        eventLoopGroupProvider: .singleton, configuration: .init(redirectConfiguration: .disallow))

    let live: LivePages
    var cookies: [String: String] = [:]
    /// Of the last page.
    private(set) var fields: [String: String] = [:]

    init(_ live: LivePages) { self.live = live }

    mutating func open(_ path: String, _ headers: [(String, String)] = []) async throws -> HTTPAnswer {
        read(try await live.send(.GET, path, headers + cookieHeader, by: Self.client))
    }

    /// Sends the last page's form.
    mutating func submit(
        _ changes: [String: String], _ headers: [(String, String)] = [], to path: String = "/device"
    ) async throws -> HTTPAnswer {
        let form = fields.merging(changes) { $1 }.map { ($0.key, $0.value) }
        let type = ("Content-Type", "application/x-www-form-urlencoded")
        return read(
            try await live.send(
                .POST, path, [type] + headers + cookieHeader, body: LivePages.form(form), by: Self.client))
    }

    /// From the code to the provider.
    mutating func leave(for device: DeviceAuthorizations.Begun) async throws -> Departure {
        _ = try await open("/device")
        _ = try await submit(["user_code": device.userCode.text])
        return try Departure(try await submit(["step": "continue"]))
    }

    /// To the page of sessions, by way of the provider.
    mutating func visit(as subject: ExactString = "alice") async throws -> HTTPAnswer {
        _ = try await open("/sessions")
        let query = try Departure(try await submit(["step": "sign-in"], to: "/sessions"))
        try live.give(
            nonce: query.nonce, ["sub": .string(subject), "email": .string(ExactString("\(subject)@example.com"))])
        let back = try await open("/oauth/callback?code=abc&state=\(query.state)")
        try #require(back.status == 303 && back.headers["Location"] == [LivePages.publicURL + "/sessions"])
        return try await open("/sessions")
    }

    /// With what a browser was sent away.
    struct Departure {
        let state: String
        let nonce: String

        init(_ answer: HTTPAnswer) throws {
            let match = try #require(answer.body.firstMatch(of: /content="0;url=([^"]*)"/), "\(answer.body)")
            let url = String(match.output.1).replacing("&amp;", with: "&")
            let query = try #require(url.split(separator: "?").last)
            let form = try FormBody(parsing: Array(query.utf8))
            (state, nonce) = (try #require(form["state"]?.string), try #require(form["nonce"]?.string))
        }
    }

    private var cookieHeader: [(String, String)] {
        cookies.isEmpty ? [] : [("Cookie", cookies.map { "\($0.key)=\($0.value)" }.joined(separator: "; "))]
    }

    private mutating func read(_ answer: HTTPAnswer) -> HTTPAnswer {
        for cookie in answer.headers["Set-Cookie"] {
            let pair = cookie.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1).map(String.init)
            cookies[pair[0]] = pair.count == 2 && !cookie.contains("Max-Age=0") ? pair[1] : nil
        }
        fields = [:]
        for match in answer.body.matches(of: /<input type="hidden" name="([^"]*)" value="([^"]*)">/) {
            fields[String(match.output.1)] = String(match.output.2)
        }
        return answer
    }
}

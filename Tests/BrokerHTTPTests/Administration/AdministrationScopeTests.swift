import AsyncHTTPClient
import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import NIOSSL
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Administration over TLS` {
    /// Each route, with the scope that it needs.
    private static let routes: [(method: HTTPMethod, path: String, body: String?, scope: String)] = [
        (.GET, "keys", nil, "daypass:keys"), (.POST, "keys/rotate", nil, "daypass:keys"),
        (.POST, "keys/staged-key/activate", nil, "daypass:keys"), (.GET, "sessions", nil, "daypass:sessions"),
        (.GET, "sessions/s1", nil, "daypass:sessions"), (.GET, "revocations", nil, "daypass:revoke"),
        (.POST, "revocations", #"{"kind":"key","value":"k"}"#, "daypass:revoke"),
        (.POST, "revocations", #"{"kind":"all","dry_run":true}"#, "daypass:revoke"),
        (.GET, "revocations/1", nil, "daypass:revoke"), (.GET, "issuers", nil, "daypass:issuers"),
        (.POST, "rules/reload", nil, "daypass:rules"),
        (.POST, "unblock", #"{"kind":"all"}"#, "daypass:admin"),
        (.POST, "unblock", #"{"kind":"all","dry_run":true}"#, "daypass:admin"),
        (.GET, "credentials", nil, "daypass:credentials"),
        (.GET, "credentials/anthropic/versions", nil, "daypass:credentials"),
        (.POST, "credentials/anthropic/versions", "the secret", "daypass:credentials"),
        (.POST, "credentials/anthropic/versions/1/promote", nil, "daypass:credentials"),
        (.POST, "credentials/anthropic/versions/1/retire", nil, "daypass:credentials"),
        (.GET, "rules", nil, "daypass:rules"),
        (.GET, "rules/who?scope=a:b", nil, "daypass:rules"),
        (.POST, "rules/test", #"{"claims":{}}"#, "daypass:rules"),
        (.GET, "audit/verify", nil, "daypass:audit"),
        (.GET, "audit/hashes?after=3&limit=10", nil, "daypass:audit"),
        (.GET, "audit", nil, "daypass:audit"),
        (.GET, "audit/export", nil, "daypass:audit"),
        (.GET, "explain/0123456789abcdef0123456789abcdef", nil, "daypass:audit"),
    ]

    private struct Network: Sendable {
        let port: Int
        let client: HTTPClient
        let fake: FakeAdministration
        let ring: KeyRing

        func send(
            _ method: HTTPMethod, _ path: String, _ body: String? = nil, _ headers: [(String, String)]
        ) async throws -> HTTPAnswer {
            var request = HTTPClientRequest(url: "https://localhost:\(port)/admin/v1/\(path)")
            request.method = method
            request.headers = HTTPHeaders(headers)
            if let body {
                let isSecret = path.hasSuffix("/versions")
                request.headers.add(
                    name: "Content-Type", value: isSecret ? "application/octet-stream" : "application/json")
                request.body = .bytes(ByteBuffer(string: body))
            }
            let response = try await client.execute(request, timeout: .seconds(20))
            let collected = try await response.body.collect(upTo: 1 << 20)
            return HTTPAnswer(
                status: Int(response.status.code), headers: response.headers, body: String(buffer: collected))
        }

        /// A token of ours, with some claims replaced.
        func token(_ scope: String, _ changes: JSONObject = [:]) throws -> String {
            let now = Date().timeIntervalSince1970.rounded(.down)
            let claims: JSONObject = [
                "iss": .string(LiveAdministration.broker), "sub": "ci:ada", "aud": .string(LiveAdministration.broker),
                "iat": .number(now), "nbf": .number(now), "exp": .number(now + 600), "jti": "t1", "sid": "s1",
                "lin": ["s1"], "rev": 0, "client_id": "rule:admins", "scope": .string(ExactString(scope)),
                "rule": "admins",
            ]
            return try ring.active.signer.sign(claims.merging(changes).encoded())
        }

        func bearer(_ scope: String, _ changes: JSONObject = [:]) throws -> [(String, String)] {
            [("Authorization", "Bearer \(try token(scope, changes))")]
        }
    }

    private func serve(_ body: @escaping @Sendable (Network) async throws -> Void) async throws {
        let temporary = try TemporaryFolder()
        let folder = URL(filePath: temporary.path)
        let made = try await TLSServer.makeDevelopment("certificates", in: folder)
        try #require(made.status == 0, "\(made.output)")
        let tls = ListenerTLS(
            certificateFile: "\(temporary.path)/certificates/server.pem",
            keyFile: "\(temporary.path)/certificates/server.key")
        let (clock, metrics, log) = (SystemClock(), TLSMetrics(), LogRecorder())
        let certificate = try ServerCertificate(tls, clock: clock, metrics: metrics, logger: log.logger)
        var listener = TLSListener(certificate, validator: nil, clock: clock, metrics: metrics, logger: log.logger)
        listener.handshakeLimit = .minutes(5)
        let ring = try LiveAdministration.keyRing()
        let fake = FakeAdministration(sessions: [Sample.session("s1")])
        var administration = fake.administration
        administration.issuers = TrustedIssuerReader { [] }
        let configuration = AdministrationConfiguration(
            socketPath: "\(temporary.path)/run/admin.sock",
            network: .init(address: ListenAddress(host: "127.0.0.1", port: 0), tls: tls))
        var trusting = TLSConfiguration.makeClientConfiguration()
        trusting.trustRoots = .file("\(temporary.path)/certificates/bundle.pem")
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton, configuration: HTTPClient.Configuration(tlsConfiguration: trusting))
        let outcome = await Result {
            try await LiveAdministration.serve(
                configuration, administration, log, tls: listener, verifier: LiveAdministration.verifier(ring)
            ) { port in
                try await body(Network(port: port, client: client, fake: fake, ring: ring))
            }
        }
        try await client.shutdown()
        try outcome.get()
    }

    @Test func `gives each scope its own routes and no other, and daypass:admin all of them`() async throws {
        try await serve { network in
            for scope in Scope.ownTexts + ["daypass:KEYS", "daypass:admin2"] {
                let bearer = try network.bearer(scope)
                for route in Self.routes {
                    let mutations = network.fake.mutations
                    let answer = try await network.send(route.method, route.path, route.body, bearer)
                    if scope == "daypass:admin" || scope == route.scope {
                        // The fake's credential is active after the first of them.
                        #expect([200, 201, 404, 409].contains(answer.status), "\(scope) \(route.path): \(answer.body)")
                    } else {
                        #expect(answer.status == 403, "\(scope) \(route.path): \(answer.body)")
                        #expect(answer.text("error") == "insufficient_scope")
                        let challenge = #"Bearer error="insufficient_scope", scope="\#(route.scope)""#
                        #expect(answer.headers.first(name: "WWW-Authenticate") == challenge)
                        #expect(network.fake.mutations == mutations)
                    }
                }
            }
            #expect(
                network.fake.calls.contexts.allSatisfy {
                    $0.caller == .token(subject: "ci:ada", session: "s1", rule: "admins")
                })
        }
    }

    @Test func `replays recorded exchanges only for who may read them as well`() async throws {
        try await serve { network in
            let body = #"{"rules":[{"name":"r","text":"rules: []"}],"since":"2026-01-01T00:00:00Z"}"#
            for (scope, missing) in [
                ("daypass:rules", "daypass:audit"), ("daypass:audit", "daypass:rules"),
                ("daypass:keys", "daypass:rules"), ("daypass:rules daypass:audit", nil), ("daypass:admin", nil),
            ] as [(String, String?)] {
                let answer = try await network.send(.POST, "rules/replay", body, network.bearer(scope))
                #expect(answer.status == (missing == nil ? 200 : 403), "\(scope): \(answer.body)")
                let challenge = missing.map { #"Bearer error="insufficient_scope", scope="\#($0)""# }
                #expect(answer.headers.first(name: "WWW-Authenticate") == challenge)
            }
            #expect(network.fake.calls.replays.count == 2)
        }
    }

    @Test func `shows sessions before they are revoked only to who may read them`() async throws {
        try await serve { network in
            let body = #"{"kind":"all","dry_run":true}"#
            for (scope, shown) in [("daypass:revoke", 0), ("daypass:revoke daypass:sessions", 1), ("daypass:admin", 1)]
            {
                let answer = try await network.send(.POST, "revocations", body, network.bearer(scope))
                #expect(answer.json["session_count"] == 1, "\(answer.body)")
                #expect(answer.json["sessions"]?.array?.count == shown, "\(scope)")
            }
        }
    }

    @Test func `refuses with 401 whatever is no token for the broker itself`() async throws {
        try await serve { network in
            let good = try network.token("daypass:admin")
            let past = Date().timeIntervalSince1970.rounded(.down) - 10
            let thumbprint = String(repeating: "A", count: 43)
            let refused: [(String, [(String, String)])] = [
                ("none", []), ("another header", [("x-api-key", good)]),
                ("another scheme", [("Authorization", "Basic \(good)")]),
                ("two", [("Authorization", "Bearer \(good)"), ("Authorization", "Bearer \(good)")]),
                ("no value", [("Authorization", "Bearer ")]), ("damaged", [("Authorization", "Bearer \(good)x")]),
                ("a gateway's", try network.bearer("anthropic:messages", ["aud": .string(LiveAdministration.gateway)])),
                (
                    "a gateway's audience",
                    try network.bearer("daypass:admin", ["aud": .string(LiveAdministration.gateway)])
                ),
                ("a gateway's scope", try network.bearer("anthropic:messages")),
                ("expired", try network.bearer("daypass:admin", ["exp": .number(past)])),
                ("another issuer", try network.bearer("daypass:admin", ["iss": "https://other.example.com"])),
                ("bound", try network.bearer("daypass:admin", ["cnf": ["x5t#S256": .string(ExactString(thumbprint))]])),
            ]
            for (name, headers) in refused {
                for path in ["keys", "nothing"] {
                    let answer = try await network.send(.GET, path, nil, headers)
                    #expect(answer.status == 401, "\(name): \(answer.body)")
                    let challenge = answer.headers.first(name: "WWW-Authenticate")
                    #expect(challenge?.hasPrefix("Bearer") == true, "\(name)")
                }
            }
            #expect(network.fake.calls.lines == [])
            #expect(try await network.send(.GET, "nothing", nil, network.bearer("daypass:admin")).status == 404)
        }
    }
}

extension FakeAdministration {
    /// How many there were, as far as that can be seen.
    fileprivate var mutations: [Int] {
        [calls.lines.count, credentials.secrets.count] + credentials.versions.map(\.number)
    }
}

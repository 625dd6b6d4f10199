import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import OpenSSL
import Synchronization
import Testing

/// Those that verify tokens by themselves.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Gateway.allAreInstalled, "a gateway is not installed: Tests/Peers/install, haproxy, nginx-light"))
struct `Gateways that verify by themselves` {
    @Test func `Envoy goes on without Daypass while it has the keys`() async throws {
        let stage = try await GatewayStage(.envoyVerifying)
        let token = try await stage.token()
        try await stage.cut()
        #expect(try await stage.ask(bearing: token).status == 200)
        #expect(try await stage.ask(bearing: "\(token)x.y").status == 401)
        try await stage.restore()
        try await stage.stop()
    }

    @Test func `Envoy answers 503 before it has had the keys`() async throws {
        let workspace = try Workspace()
        let ports = try Gateway.Ports(
            gateway: Workspace.freePort(), inner: Workspace.freePort(), daypass: Workspace.freePort(),
            application: Workspace.freePort())
        try await Gateway.envoyVerifying.install(in: workspace, ports, issuer: "http://broker.example.com")
        let envoy = try Gateway.envoyVerifying.start(in: workspace, base: ports.gateway)
        let issuer = try TestIssuer("http://broker.example.com", algorithm: .ES256)
        let claims = issuer.claims(audience: "https://gateway.example.com", at: Date())
        let token = try issuer.token(claims, header: ["typ": "at+jwt"])
        try await waitUntil("Envoy answers", within: 60) { Workspace.isListening(ports.gateway) }
        let request = GatewayStage.request("GET", "/", [("x-api-key", token)])
        #expect(try await PlainConnection.answer(request, port: ports.gateway).status == 503)
        envoy.signal(SIGTERM)
        _ = try await envoy.outcome()
    }

    @Test func `Envoy refuses what a revoked key signed once it has fetched the keys, and has let through before`()
        async throws
    {
        let stage = try await GatewayStage(
            .envoyVerifying, changing: ["cache_duration: 300s": "cache_duration: 2s"])
        let token = try await stage.token()
        for _ in 0..<20 { #expect(try await stage.ask(bearing: token).status == 200) }
        try await stage.daypass("keys", "revoke", try GatewayStage.keyID(of: token), "--yes")
        try await waitUntil("the keys are fetched", within: 30) { try await stage.ask(bearing: token).status == 401 }
        for _ in 0..<20 { #expect(try await stage.ask(bearing: token).status == 401) }
        #expect(try await stage.ask(bearing: try await stage.token()).status == 200)
        try await stage.stop()
    }

    @Test func `HAProxy answers 503 when its map is old, and goes on when it is followed again`() async throws {
        let stage = try await GatewayStage(.haproxy)
        let token = try await stage.token()
        try await stage.cut()
        #expect(try await stage.ask(bearing: token).status == 200)
        try await waitUntil("the map is too old", within: 30) { try await stage.ask(bearing: token).status == 503 }
        #expect(try await stage.ask(bearing: nil).status == 503)
        let revoked = try await stage.token()
        try await stage.revoke(revoked)
        try await stage.restore()
        try await waitUntil("it is followed again", within: 60) { try await stage.ask(bearing: token).status == 200 }
        #expect(try await stage.ask(bearing: revoked).status == 401, "what was revoked meanwhile passed")

        // The same where only the one that follows is gone.
        let feed = try #require(stage.companion.withLock { $0 })
        feed.signal(SIGKILL)
        _ = try await feed.outcome()
        try await waitUntil("the map is too old", within: 30) { try await stage.ask(bearing: token).status == 503 }
        let again = try Gateway.haproxy.startCompanion(in: stage.workspace, GatewayStage.companionArguments)
        stage.companion.withLock { $0 = again }
        try await waitUntil("it is followed again", within: 30) { try await stage.ask(bearing: token).status == 200 }
        #expect(try await stage.ask(bearing: revoked).status == 401)
        try await stage.stop()
    }

    @Test func `HAProxy refuses what the command revokes, of every kind, and not what comes after`() async throws {
        let stage = try await GatewayStage(.haproxy)
        let socket = ["DAYPASS_SOCKET": stage.workspace.path("run/admin.sock")]
        for (kind, value) in [
            ("subject", "github:job"), ("rule", "ci-main"), ("issuer", "github"), ("session", nil), ("all", nil),
        ] {
            let (token, other) = (try await stage.token(), try await stage.token("other"))
            #expect(try await stage.ask(bearing: token).status == 200, "\(kind)")
            let session = try await stage.broker.verify(token).headers.first(name: "Daypass-Session")
            let arguments = ["revoke", kind] + (kind == "session" ? [session ?? ""] : value.map { [$0] } ?? [])
            let revoked = try await AdministeredBroker.daypass(arguments + ["--yes"], socket)
            try #require(revoked.status == 0, "\(kind): \(revoked.error)")
            try await waitUntil("\(kind) is refused", within: 5) { try await stage.ask(bearing: token).status == 401 }
            #expect(
                try await stage.ask(bearing: other).status == (["subject", "session"].contains(kind) ? 200 : 401),
                "\(kind)")
            #expect(try await stage.ask(bearing: try await stage.token()).status == 200, "\(kind): nobody is kept out")
        }
        try await stage.stop()
    }

    @Test func `HAProxy takes the next keys without a break, and none that was revoked`() async throws {
        let stage = try await GatewayStage(.haproxy)
        let first = try await stage.token()
        // The first time alone, when the feed has nothing else to tell HAProxy; then as many as there are for a rotation
        // every hour. The key that signs then is one that HAProxy did not start with.
        for count in [1, 24] {
            for _ in 0..<count { try await stage.daypass("keys", "rotate", "--force", "--yes") }
            let published = try await stage.publishedKeys
            try await waitUntil("the new keys are fetched", within: 60) {
                try String(contentsOfFile: stage.workspace.path("gateway/keys.map"), encoding: .utf8)
                    .split(separator: "\n").count == published
            }
        }
        #expect(try await stage.publishedKeys == 27)
        let second = try await stage.token()
        try await waitUntil("HAProxy knows it", within: 30) {
            (try? await stage.ask(bearing: second))?.status == 200
        }
        #expect(try await stage.ask(bearing: first).status == 200)
        try await stage.daypass("keys", "revoke", try GatewayStage.keyID(of: second), "--yes")
        try await waitUntil("its tokens are refused", within: 10) {
            (try? await stage.ask(bearing: second))?.status == 401
        }
        #expect(try await stage.ask(bearing: first).status == 200)
        try await stage.stop()
    }

    @Test func `HAProxy answers 503 where more keys are published than it has room for, and never 401`() async throws {
        let stage = try await GatewayStage(.haproxy)
        let first = try await stage.token()
        while try await stage.publishedKeys <= 33 { try await stage.daypass("keys", "rotate", "--force", "--yes") }
        let second = try await stage.token()
        try await waitUntil("the room is not enough", within: 60) {
            (try? await stage.ask(bearing: first))?.status == 503
        }
        #expect(try await stage.ask(bearing: second).status == 503)
        let feed = try #require(stage.companion.withLock { $0 })
        #expect(feed.isRunning && feed.error.contains("34 keys for ES256 are published"), "\(feed.error)")
        // A start with a fresh memory is no better.
        feed.signal(SIGKILL)
        _ = try await feed.outcome()
        let again = try Gateway.haproxy.startCompanion(in: stage.workspace, GatewayStage.companionArguments)
        stage.companion.withLock { $0 = again }
        try await waitUntil("it looks at the keys", within: 30) { again?.error.contains("34 keys") == true }
        #expect(try await stage.ask(bearing: second).status == 503)

        let kept = try GatewayStage.keyID(of: first)
        let retiring = try await stage.daypass("keys", "list").split(separator: "\n").filter {
            $0.contains(" retiring ") && !$0.hasPrefix(kept)
        }
        for line in retiring.prefix(2) {
            try await stage.daypass("keys", "revoke", String(line.prefix { $0 != " " }), "--yes")
        }
        try await waitUntil("there is room again", within: 60) {
            (try? await stage.ask(bearing: second))?.status == 200
        }
        #expect(try await stage.ask(bearing: first).status == 200)
        try await stage.stop()
    }

    // MARK: Claims

    /// Claims and header as the broker writes them, with these members instead, and the answer.
    private struct Case: Sendable {
        let name: String
        var claims: JSONObject = [:]
        var header: JSONObject = [:]
        let status: Int
    }

    private static let cases: [Case] = [
        Case(name: "as it is", status: 200),
        Case(name: "another scope beside it", claims: ["scope": "a:b anthropic:messages c:d"], status: 200),
        Case(name: "a longer scope", claims: ["scope": "anthropic:messages2"], status: 403),
        Case(name: "a scope that ends so", claims: ["scope": "xanthropic:messages"], status: 403),
        Case(name: "no scope", claims: ["scope": ""], status: 403),
        Case(name: "another type", header: ["typ": "JWT"], status: 401),
        Case(name: "another audience", claims: ["aud": "https://other.example.com"], status: 401),
        Case(name: "another issuer", claims: ["iss": "https://other.example.com"], status: 401),
        Case(name: "expired", claims: ["exp": 1_700_000_000], status: 401),
        Case(name: "not yet", claims: ["nbf": 4_000_000_000], status: 401),
        Case(name: "bound", claims: ["cnf": ["x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"]], status: 401),
        Case(name: "no algorithm", header: ["alg": "none"], status: 401),
        Case(name: "another algorithm", header: ["alg": "HS256"], status: 401),
        Case(name: "another key", header: ["kid": "other"], status: 401),
    ]

    /// Revoked by the map of `revocations`: what has these is dead.
    private static let revoked: [Case] = [
        Case(name: "its jti", claims: ["jti": "dead"], status: 401),
        Case(name: "its subject", claims: ["sub": "github:dead person"], status: 401),
        Case(name: "its rule", claims: ["rule": "dead"], status: 401),
        Case(name: "its issuer", claims: ["sub": "dead:somebody"], status: 401),
        Case(name: "its trust domain", claims: ["sub": "spiffe://dead.example.org/job"], status: 401),
        Case(name: "its session", claims: ["sid": "dead", "lin": ["dead"]], status: 401),
        Case(name: "the first session", claims: ["lin": ["dead", "a"]], status: 401),
        Case(name: "the eighth session", claims: ["lin": ["a", "b", "c", "d", "e", "f", "g", "dead"]], status: 401),
        Case(name: "its actor", claims: ["act": ["sub": "github:dead person"]], status: 401),
        Case(name: "the issuer of its actor", claims: ["act": ["sub": "dead:x"]], status: 401),
        Case(name: "the actor's", claims: ["act": ["sub": "a:b", "act": ["sub": "github:dead person"]]], status: 401),
        Case(
            name: "a third actor", claims: ["act": ["sub": "a:b", "act": ["sub": "a:c", "act": ["sub": "a:d"]]]],
            status: 401),
        Case(name: "two actors", claims: ["act": ["sub": "a:b", "act": ["sub": "a:c"]]], status: 200),
        Case(name: "an earlier key", claims: ["kids": ["a", "b", "c", "dead"]], status: 401),
        Case(name: "an earlier key, whatever its number", claims: ["kids": ["dead"], "rev": 1_000_000], status: 401),
        Case(name: "too many earlier keys", claims: ["kids": ["a", "b", "c", "d", "e"]], status: 401),
        Case(name: "no number", claims: ["rev": .null], status: 401),
        Case(name: "no subject", claims: ["sub": .null], status: 401),
        Case(name: "no session", claims: ["sid": .null], status: 401),
        Case(name: "no jti", claims: ["jti": .null], status: 401),
        Case(name: "no rule", claims: ["rule": .null], status: 401),
        Case(name: "no lineage", claims: ["lin": []], status: 401),
        Case(name: "later than its jti", claims: ["jti": "dead", "rev": 7], status: 200),
        Case(name: "one earlier", claims: ["jti": "dead", "rev": 6], status: 401),
        Case(name: "another of that beginning", claims: ["sub": "deader:somebody", "jti": "deader"], status: 200),
    ]

    @Test(arguments: Gateway.verifying)
    func `look at every claim that counts`(gateway: Gateway) async throws {
        let workspace = try Workspace()
        let ports = try Gateway.Ports(
            gateway: Workspace.freePort(), inner: Workspace.freePort(), daypass: Workspace.freePort(),
            application: Workspace.freePort())
        let signer = try TestIssuer("http://broker.example.com", algorithm: .ES256)
        try workspace.write("daypass/oauth/jwks", signer.jwks)
        let daypass = try RunningProcess(
            try #require(Programs.python),
            ["-m", "http.server", "\(ports.daypass)", "--bind", "127.0.0.1", "-d", workspace.path("daypass")])
        let application = try GatewayStage.application(ports.application)
        for port in [ports.daypass, ports.application] {
            try await waitUntil("\(port) is listened to", within: 60) { Workspace.isListening(port) }
        }
        try await gateway.install(in: workspace, ports, issuer: signer.issuer)
        try await gateway.prepare(in: workspace)
        let names = [
            "token:dead", "subject:github:dead person", "rule:dead", "issuer:dead", "issuer:spiffe://dead.example.org",
            "session:dead",
        ]
        let numbers = names.map { ($0, 7) } + [("key:dead", 1 << 53)]
        let lines = numbers.map { name, number in
            let digest = HashAlgorithm.sha256.digest(Array(name.utf8)).map { String(format: "%02X", $0) }.joined()
            return "\(digest) \(number)\n"
        }
        try workspace.write("gateway/revoked.map", lines.joined() + "version 1\nuntil 4000000000\n")
        let process = try gateway.start(in: workspace, base: ports.gateway)

        func status(_ one: Case) async throws -> Int {
            let now = Date().timeIntervalSince1970.rounded(.down)
            let claims: JSONObject = [
                "iss": .string(ExactString(signer.issuer)), "sub": "github:job", "aud": "https://gateway.example.com",
                "iat": .number(now), "nbf": .number(now), "exp": .number(now + 300), "jti": "j", "sid": "s",
                "lin": ["s"], "rev": 5, "client_id": "rule:r", "scope": "anthropic:messages", "rule": "r",
            ]
            let header: JSONObject = JSONObject(dictionaryLiteral: ("typ", "at+jwt")).merging(one.header)
            let token = try signer.token(claims.merging(one.claims), header: header)
            let request = GatewayStage.request("GET", "/", [("x-api-key", token), ("Connection", "close")])
            return try await PlainConnection.answer(request, port: ports.gateway).status
        }
        try await waitUntil("\(gateway.rawValue) answers", within: 60) {
            try #require(process.isRunning, "\(process.error)")
            return (try? await status(Self.cases[0])) == 200
        }
        for one in Self.cases + (gateway == .haproxy ? Self.revoked : []) {
            #expect(try await status(one) == one.status, "\(one.name)")
        }
        process.signal(SIGTERM)
        _ = try await process.outcome()
        for other in [daypass, application] { other.signal(SIGKILL) }
    }
}

import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// What Anthropic's clients do at a gateway before they have a token for it.
@Suite(
    .onOwnThreads,
    .enabled(if: Gateway.allAreInstalled, "a gateway is not installed: Tests/Peers/install, haproxy, nginx-light"))
struct `Exchanging through a gateway` {
    typealias Answer = PlainConnection.Answer

    private static let path = "/v1/oauth/token"
    private static var trace: Regex<Substring> { /[0-9a-f]{32}/ }

    /// On one stage, since each has six programs.
    @Test(arguments: Gateway.allCases)
    func `gives a token that passes, and lets nothing else past the verification`(gateway: Gateway) async throws {
        // For how long a gateway waits for Daypass.
        let stage = try await GatewayStage(gateway, changing: ["35s": "3s"])
        try await getTokens(stage)
        try await refuseAsDaypassDoes(stage)
        try await nameTheClient(stage)
        try await takeOtherPathsForOthers(stage)
        try await takeOtherMethodsForOthers(stage)
        try await endWithTheRequest(stage)
        try await boundBodies(stage)
        try await doWithoutDaypass(stage)
        try await passAnswersOn(stage)
        try await stage.stop()
    }

    private func getTokens(_ stage: GatewayStage) async throws {
        let (reached, asked) = (try await stage.reached, try stage.relayed().utf8.count)
        let body = Self.body(try stage.proof())
        let size = String(body.count, radix: 16)
        let chunked = Array("\(size)\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8)
        let answers = try await [
            post(stage, body), post(stage, body, Self.path + "?beta=true"),
            stage.ask(
                "POST", Self.path, [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")],
                body: chunked),
        ]
        let relayed = String(decoding: try stage.relayed().utf8.dropFirst(asked), as: UTF8.self)
        #expect(!relayed.contains("/verify"), "nobody has a token yet")
        #expect(try await stage.reached == reached, "the application was asked")
        for answer in answers {
            try #require(answer.status == 200, "\(answer)")
            #expect(answer.header("cache-control") == "no-store")
            #expect(answer.header("request-id")?.wholeMatch(of: Self.trace) != nil, "\(answer.headers)")
            let token = try #require(try JSONReader.readObject(answer.body)["access_token"]?.string?.string)
            let passed = try await stage.ask(bearing: token)
            #expect(passed.status == 200, "\(passed)")
            #expect(try SeenRequest(passed).values("daypass-subject") == ["github:job"])
        }
    }

    /// With the same words, but for the trace id.
    private func refuseAsDaypassDoes(_ stage: GatewayStage) async throws {
        let (good, other) = (try stage.proof(), try stage.proof(repository: "654321"))
        let json = ("Content-Type", "application/json")
        let reached = try await stage.reached
        for (name, headers, body, status) in [
            ("nobody's rule", [json], Self.body(other), 401), ("no token", [json], Self.body("garbage"), 401),
            ("a credential", [json, ("Authorization", "Bearer \(good)")], Self.body(good), 401),
            ("no assertion", [json], Array("{}".utf8), 400), ("no JSON", [json], Array("{".utf8), 400),
            ("another type", [("Content-Type", "text/plain")], Self.body(good), 400),
        ] {
            let own = try await stage.broker.send(
                .POST, Self.path, headers, body: String(decoding: body, as: UTF8.self))
            let answer = try await stage.ask(
                "POST", Self.path, headers + [("Content-Length", "\(body.count)")], body: body)
            #expect(answer.status == status && own.status == status, "\(name): \(answer) \(own)")
            for header in ["content-type", "cache-control", "www-authenticate", "retry-after"] {
                #expect(answer.header(header) == own.headers.first(name: header), "\(name): \(header)")
            }
            let text = String(decoding: answer.body, as: UTF8.self)
            #expect(text.replacing(Self.trace, with: "T") == own.body.replacing(Self.trace, with: "T"), "\(name)")
            let trace = try #require(answer.header("request-id"), "\(name): \(answer)")
            #expect(text.contains(trace), "\(name): \(text)")
        }
        #expect(try await stage.reached == reached, "the application was asked")
    }

    /// By the address that the gateway sees, whatever the client says.
    private func nameTheClient(_ stage: GatewayStage) async throws {
        let forged = [("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-For", "198.51.100.8"), ("X-Real-IP", "::1")]
        let body = Self.body(try stage.proof(repository: "654321"))
        let answer = try await post(stage, body, headers: forged, from: "127.0.3.1")
        let trace = try #require(answer.header("request-id"), "\(answer)")
        let found = try await stage.daypass("explain", trace, "--json")
        #expect(found.contains("\"127.0.3.1\"") && !found.contains("198.51.100"), "\(found)")
    }

    /// The path in other words, which some gateways put into these before they look at it.
    private static let unresolved = [
        "//v1/oauth/token", "/v1//oauth/token", "/v1/oauth/token/.", "/v1/./oauth/token", "/x/../v1/oauth/token",
        "/v1/oauth/x/../token", "/x/%2e%2e/v1/oauth/token", "/v1/oauth/%74oken", "/v1\\oauth\\token",
        "http://gateway.example.com/v1/oauth/token",
    ]
    /// What no gateway may take for it.
    private static let others = [
        "/v1/oauth/token/", "/v1/oauth/token/..", "/v1/oauth/token/../token/", "/v1/oauth/token/x",
        "/v1/oauth/token/../../messages", "/v1/oauth/token/%2e%2e/%2e%2e/messages", "/v1%2Foauth%2Ftoken",
        "/v1/oauth%2ftoken", "/v1/oauth%252ftoken", "/v1/oauth/token%2f..%2f..%2fmessages", "/v1/oauth/token%00",
        "/v1/oauth/token%0a", "/v1/oauth/token%20", "/v1/oauth/token%3F", "/v1/oauth/token%23", "/v1/oauth/token;x",
        "/v1/oauth/token#", "/v1/oauth/token#x", "/V1/oauth/token", "/v1/oauth/Token", "/v1/oauth/tokens",
        "/v1/oauth/toke", "/v1/oauth/", "/oauth/token", "/x/v1/oauth/token", "/?/v1/oauth/token",
        "/v1/messages?/v1/oauth/token", "/v1/messages#/v1/oauth/token", "/_daypass_exchange", "/@exchange",
        "\\v1\\oauth\\token", "v1/oauth/token", "*", "/healthz", "/oauth/jwks", "/oauth/revoke",
    ]

    private func takeOtherPathsForOthers(_ stage: GatewayStage) async throws {
        let reached = try await stage.reached
        let body = Self.body(try stage.proof())
        for target in Self.others {
            let asked = try stage.relayed().utf8.count
            let answer = try await post(stage, body, target)
            #expect((400..<500).contains(answer.status), "\(target): \(answer)")
            #expect(try exchanges(stage, since: asked) == 0, "\(target) was passed on to Daypass")
        }
        for target in Self.unresolved {
            let asked = try stage.relayed().utf8.count
            let answer = try await post(stage, body, target)
            let isResolved = try exchanges(stage, since: asked) == 1
            #expect(answer.status == (isResolved ? 200 : 401), "\(target): \(answer)")
            #expect(!isResolved || stage.gateway.resolvesPaths || target.hasPrefix("http:"), "\(target)")
        }
        let asked = try stage.relayed().utf8.count
        for name in [
            "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Envoy-Original-Path", "X-Forwarded-Prefix",
        ] {
            for target in ["/", "/v1/messages"] {
                let answer = try await post(stage, body, target, headers: [(name, Self.path)])
                #expect(answer.status == 401, "\(name): \(answer)")
            }
        }
        #expect(try exchanges(stage, since: asked) == 0)
        #expect(try await stage.reached == reached, "the application was asked")

        // They are the application's own, for who has a token.
        let token = try await stage.token()
        for target in ["/v1/oauth/token/", "/v1/oauth/tokens", "/v1/oauth/token/x?y=z"] {
            let answer = try await stage.ask("POST", target, [("Content-Length", "0")], bearing: token)
            #expect(answer.status == 200, "\(target): \(answer)")
            #expect(try SeenRequest(answer).path == target)
        }
    }

    private func takeOtherMethodsForOthers(_ stage: GatewayStage) async throws {
        let (reached, asked) = (try await stage.reached, try stage.relayed().utf8.count)
        let body = Self.body(try stage.proof())
        let override = [("X-HTTP-Method-Override", "POST"), ("X-Forwarded-Method", "POST")]
        let methods = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
        for method in methods {
            for headers in [[], override] {
                let answer = try await post(stage, body, method: method, headers: headers)
                #expect(answer.status == 401, "\(method): \(answer)")
            }
        }
        for method in ["post", "POSTX", "XPOST", "Post"] {
            let answer = try await post(stage, body, method: method)
            #expect((400..<500).contains(answer.status), "\(method): \(answer)")
        }
        #expect(try exchanges(stage, since: asked) == 0)
        #expect(try await stage.reached == reached, "the application was asked")
        let answer = try await stage.ask("GET", Self.path, bearing: try await stage.token())
        #expect(try answer.status == 200 && SeenRequest(answer).path == Self.path, "\(answer)")
    }

    /// What comes behind it on the connection is a request of its own.
    private func endWithTheRequest(_ stage: GatewayStage) async throws {
        let (reached, asked) = (try await stage.reached, try stage.relayed().utf8.count)
        let body = Self.body(try stage.proof())
        let json = ("Content-Type", "application/json")
        let next = GatewayStage.request("GET", "/v1/secret")
        let first = GatewayStage.request("POST", Self.path, [json, ("Content-Length", "\(body.count)")])
        let answers = try await PlainConnection.exchange(first + body + next, port: stage.port, count: 2)
        #expect(answers.map(\.status) == [200, 401], "\(answers)")

        let hidden = Array("0\r\n\r\n".utf8) + next
        for headers in [
            [("Content-Length", "\(hidden.count)"), ("Transfer-Encoding", "chunked")],
            [("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
            [("Content-Length", "5"), ("Content-Length", "\(hidden.count)")],
            [("Transfer-Encoding", "chunked, identity"), ("Content-Length", "\(hidden.count)")],
        ] {
            let request = GatewayStage.request("POST", Self.path, [json] + headers) + hidden
            let answers = try await PlainConnection.exchange(request, port: stage.port, count: 2)
            #expect(answers.allSatisfy { (400..<502).contains($0.status) }, "\(headers): \(answers)")
        }
        #expect(try !stage.relayed().utf8.dropFirst(asked).contains("GET /v1/secret".utf8))
        #expect(try await stage.reached == reached, "the application was asked")
    }

    /// As Daypass does.
    private func boundBodies(_ stage: GatewayStage) async throws {
        let reached = try await stage.reached
        let proof = try stage.proof()
        let empty = Self.body(proof, padding: 0).count
        let most = try await post(stage, Self.body(proof, padding: 128 * 1024 - empty))
        #expect(most.status == 200, "\(most)")
        let long = Self.body(proof, padding: 128 * 1024 + 1 - empty)
        let chunked = Array("\(String(long.count, radix: 16))\r\n".utf8) + long + Array("\r\n0\r\n\r\n".utf8)
        for (header, bytes) in [
            (("Content-Length", "\(long.count)"), long), (("Transfer-Encoding", "chunked"), chunked),
        ] {
            // Some end the connection while it is still sent.
            let answer = try? await stage.ask(
                "POST", Self.path, [("Content-Type", "application/json"), header], body: bytes)
            #expect(answer.map { [400, 413].contains($0.status) } ?? true, "\(header): \(String(describing: answer))")
        }
        #expect(try await stage.reached == reached, "the application was asked")
    }

    private func doWithoutDaypass(_ stage: GatewayStage) async throws {
        let body = Self.body(try stage.proof())
        for isFrozen in [false, true] {
            let reached = try await stage.reached
            if isFrozen { try await stage.freeze(true) } else { try await stage.cut() }
            let answer = try await post(stage, body)
            #expect([502, 503, isFrozen ? 504 : 503].contains(answer.status), "\(isFrozen): \(answer)")
            #expect(try await stage.reached == reached, "the application was asked")
            if isFrozen { try await stage.freeze(false) } else { try await stage.restore() }
            try await waitUntil("Daypass answers again", within: 30) { try await post(stage, body).status == 200 }
        }
        // nginx passes on as HTTP/0.9 what is no HTTP.
        guard stage.gateway != .nginx else { return }
        let reached = try await stage.reached
        stage.garble(true)
        try await waitUntil("Daypass answers nonsense", within: 30) { try await post(stage, body).status != 200 }
        let answer = try await post(stage, body)
        #expect((500...503).contains(answer.status), "\(answer)")
        stage.garble(false)
        try await waitUntil("Daypass answers again", within: 30) { try await post(stage, body).status == 200 }
        #expect(try await stage.reached == reached, "the application was asked")
    }

    /// Not one of the gateway's own in their place.
    private func passAnswersOn(_ stage: GatewayStage) async throws {
        let reached = try await stage.reached
        try await stage.impersonate()
        for status in [400, 401, 403, 404, 408, 413, 429, 500, 503] {
            let answer = try await post(stage, Array("\(status)".utf8))
            #expect(answer.status == status, "\(answer)")
            #expect(answer.header("retry-after") == "7" && answer.header("cache-control") == "no-store", "\(answer)")
            #expect(answer.header("content-type") == "application/json")
            #expect(answer.header("request-id") == "0123456789abcdef0123456789abcdef")
            let json = try JSONReader.readObject(answer.body)
            #expect(json == ["error": "of_the_broker", "error_description": .string(ExactString("this is \(status)"))])
        }
        #expect(try await stage.reached == reached, "the application was asked")
    }

    // MARK: Requests

    /// As Claude Code writes it.
    /// - Parameter padding: the length of a member that nobody reads.
    private static func body(_ proof: String, padding: Int? = nil) -> [UInt8] {
        var json: JSONObject = [
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": .string(ExactString(proof)),
            "organization_id": .string(ExactString(AnthropicStage.organization)),
        ]
        if let padding { _ = json.append("padding", .string(ExactString(String(repeating: "x", count: padding)))) }
        return json.encoded()
    }

    private func post(
        _ stage: GatewayStage, _ body: [UInt8], _ target: String = path, method: String = "POST",
        headers: [(String, String)] = [], from source: String = "127.0.0.1"
    ) async throws -> Answer {
        let usual = [("Content-Type", "application/json"), ("Content-Length", "\(body.count)")]
        return try await stage.ask(method, target, usual + headers, from: source, body: body)
    }

    /// How many identity tokens Daypass has received since then, each in a request for exactly this path.
    private func exchanges(_ stage: GatewayStage, since asked: Int) throws -> Int {
        let relayed = String(decoding: try stage.relayed().utf8.dropFirst(asked), as: UTF8.self)
        let bodies = relayed.components(separatedBy: "\"assertion\"").count - 1
        let lines = relayed.components(separatedBy: "POST \(Self.path) HTTP/1.1\r\n").count - 1
        #expect(bodies == lines, "\(relayed)")
        return bodies
    }
}

extension Gateway {
    /// Whether it removes dots, double slashes and needless percent signs from a path before it looks at it.
    fileprivate var resolvesPaths: Bool {
        switch self {
        case .envoyAsking, .envoyVerifying, .traefik: true
        case .nginx, .haproxy, .caddy: false
        }
    }
}

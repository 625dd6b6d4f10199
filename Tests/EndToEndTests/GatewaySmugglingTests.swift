import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// What clients write to be taken for somebody else, or to be asked for less.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Gateway.allAreInstalled, "a gateway is not installed: Tests/Peers/install, haproxy, nginx-light"))
struct `Smuggling through a gateway` {
    private static let names = [
        "Subject", "Session", "Rule", "Scope", "Expires", "Trace-Id", "Hint", "Require-Scope", "Require-Model",
    ]

    /// Spellings of one name that applications take for the same.
    private static func spellings(_ name: String) -> [String] {
        [name, name.lowercased(), name.uppercased(), name.replacing("-", with: "_"), name.replacing("-", with: ".")]
    }

    @Test(arguments: Gateway.allCases)
    func `gets nobody taken for somebody else`(gateway: Gateway) async throws {
        let stage = try await GatewayStage(gateway)
        try await getHeadersThrough(stage)
        try await getTrailersThrough(stage)
        try await lowerRequirements(stage)
        try await takeHeadersAway(stage)
        try await upgradeTheConnection(stage)
        try await goWithoutToken(stage)
        try await stage.stop()
    }

    private func getHeadersThrough(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        let verified = try await stage.broker.verify(token)
        let evil = "github:evil"
        let others = [
            "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-Method",
        ]
        let forged = Self.names.flatMap { Self.spellings("Daypass-\($0)") } + others
        let addresses = ["X-Forwarded-For", "X-Forwarded-For", "X-Real-IP"]
        let headers = forged.map { ($0, evil) } + addresses.map { ($0, "198.51.100.7") }
        let bearer = ("Authorization", "Bearer \(token)")
        for all in [headers + [bearer], [bearer] + headers] {
            let asked = try stage.relayed().count
            let answer = try await stage.ask("GET", "/?scope=daypass:admin&model=\(evil)", all, from: "127.0.0.9")
            #expect(answer.status == 200, "\(answer)")
            let seen = try SeenRequest(answer)
            for name in ["Subject", "Session", "Rule", "Scope", "Expires"] {
                let expected = verified.headers.first(name: "Daypass-\(name)") ?? ""
                #expect(seen.values("daypass-\(name.lowercased())") == [expected])
            }
            let left = seen.headers.filter { $0.value.contains("evil") && $0.name != "x-forwarded-method" }
            #expect(left.allSatisfy { $0.name == "x-original-method" }, "\(left)")
            // What comes last is what the gateway saw itself.
            #expect(seen.values("x-forwarded-for").last?.hasSuffix("198.51.100.7") == false, "\(seen.headers)")

            let question = try stage.relayed().dropFirst(asked)
            for line in question.split(separator: "\r\n") where line.contains("evil") || line.contains("198.51.100.7") {
                let name = line.prefix { $0 != ":" }.lowercased()
                // Which Daypass does not read.
                if name == "x-real-ip" { continue }
                #expect(["x-forwarded-uri", "x-forwarded-for"].contains(name), "\(line)")
                #expect(name != "x-forwarded-for" || !line.hasSuffix("198.51.100.7"), "\(line)")
                #expect(name != "x-forwarded-uri" || line.contains("/?scope=daypass:admin"), "\(line)")
            }
        }
    }

    /// Headers that come behind the body, which some applications take for headers.
    private func getTrailersThrough(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        let trailers = ["Daypass-Subject: github:evil", "daypass_scope: evil", "Authorization: Bearer evil"]
        let body = "3\r\nabc\r\n0\r\n\(trailers.map { "\($0)\r\n" }.joined())\r\n"
        for announced in [[], [("Trailer", "Daypass-Subject")]] {
            let answer = try await stage.ask(
                "POST", "/", announced + [("Transfer-Encoding", "chunked")], bearing: token, body: Array(body.utf8))
            #expect(answer.status == 200, "\(answer)")
            let seen = try SeenRequest(answer)
            #expect(seen.length == 3 && seen.values("daypass-subject") == ["github:job"])
            if try await stage.gateway.dropsTrailers { #expect(seen.trailers == []) }
        }
    }

    /// What the gateway requires is not for its client to say.
    private func lowerRequirements(_ stage: GatewayStage) async throws {
        let narrow = try await stage.token("job", ["scope": "anthropic:count_tokens"])
        let scope = "anthropic:count_tokens"
        let forged =
            (Self.spellings("Daypass-Require-Scope") + Self.spellings("Daypass-Scope")).map { ($0, scope) }
            + ["X-Original-URL", "X-Forwarded-Uri", "X-Rewrite-URL"].map { ($0, "/verify?scope=\(scope)") }
        let reached = try await stage.reached
        for target in [
            "/v1/messages", "/?scope=\(scope)", "/verify?scope=\(scope)", "/v1?scope=\(scope)&scope=",
            "/?scope=\(scope)#", "/%3Fscope=\(scope)", "/?scope", "/?;scope=\(scope)",
        ] {
            for headers in [[]] + forged.map({ [$0] }) + [forged] {
                let answer = try await stage.ask("GET", target, headers, bearing: narrow)
                #expect([400, 403].contains(answer.status), "\(target) \(headers.map(\.0)): \(answer)")
            }
        }
        for connection in ["close, Daypass-Require-Scope", "close, authorization", "close, x-api-key"] {
            let answer = try await stage.ask("GET", "/", bearing: narrow, connection: connection)
            #expect([400, 401, 403].contains(answer.status), "\(connection): \(answer)")
        }
        #expect(try await stage.reached == reached, "the application was asked")
    }

    /// Nor what the application is told.
    private func takeHeadersAway(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        // What Connection names belongs to one hop only (RFC 9110 §7.6.1): it must not be what was added on it.
        for named in ["Daypass-Subject, Daypass-Scope", "x-forwarded-for, daypass-subject", "DAYPASS-SUBJECT"] {
            let answer = try await stage.ask("GET", "/", bearing: token, connection: "close, \(named)")
            guard answer.status == 200 else {
                #expect(answer.status == 400, "\(answer)")
                continue
            }
            let seen = try SeenRequest(answer)
            #expect(seen.values("daypass-subject") == ["github:job"], "\(named): \(seen.headers)")
            let connections = seen.values("connection").joined().lowercased()
            #expect(!connections.contains("daypass"), "the next hop would remove it: \(connections)")
        }
    }

    /// A connection that becomes another one is nobody's to ask about.
    private func upgradeTheConnection(_ stage: GatewayStage) async throws {
        let upgrade = [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")]
        let answer = try await stage.ask(
            "GET", "/", upgrade, bearing: try await stage.token(), connection: "close, Upgrade, HTTP2-Settings")
        guard answer.status == 200 else {
            #expect(answer.status == 403, "\(answer)")
            return
        }
        let seen = try SeenRequest(answer)
        #expect(!seen.headers.contains { ["upgrade", "http2-settings"].contains($0.name) }, "\(seen.headers)")
    }

    /// By whatever path, host or method.
    private func goWithoutToken(_ stage: GatewayStage) async throws {
        let reached = try await stage.reached
        let targets = [
            "/", "/../healthz", "/verify/../healthz", "/verify/../../oauth/jwks", "/%2e%2e/healthz", "//healthz",
            "/healthz", "/verify", "/_daypass", "/_daypass/", "/@unavailable", "/oauth/jwks", "/?/healthz",
            "/;/healthz",
            "http://127.0.0.1:\(stage.port)/healthz", "http://other.example.com/", "/healthz?scope=", "/v1//../healthz",
        ]
        for target in targets {
            let answer = try await stage.ask("GET", target)
            #expect((400..<500).contains(answer.status), "\(target): \(answer)")
        }
        for method in ["OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "get"] {
            let answer = try await stage.ask(method, "/")
            #expect((400..<600).contains(answer.status), "\(method): \(answer)")
        }
        for host in ["127.0.0.1:\(stage.port)", "localhost", "other.example.com", "daypass", "x:1"] {
            let request = GatewayStage.request("GET", "/", [("Connection", "close")], host: host)
            let answer = try await PlainConnection.answer(request, port: stage.port)
            #expect(answer.status == 401, "\(host): \(answer)")
        }
        for headers in [
            [
                ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Version", "13"),
            ],
            [("X-HTTP-Method-Override", "OPTIONS")], [("Daypass-Subject", "github:job")],
        ] {
            let answer = try await stage.ask("GET", "/", headers, connection: "close, upgrade")
            #expect((400..<500).contains(answer.status), "\(headers): \(answer)")
        }
        #expect(try await stage.reached == reached, "the application was asked")
    }
}

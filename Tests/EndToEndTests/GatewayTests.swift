import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import OpenSSL
import Testing

@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Gateway.allAreInstalled, "a gateway is not installed: Tests/Peers/install, haproxy, nginx-light"))
struct `Gateways in front of an application` {
    private static let names = [
        "daypass-subject", "daypass-session", "daypass-rule", "daypass-scope", "daypass-expires",
    ]

    /// On one stage, since each has six programs.
    @Test(arguments: Gateway.allCases)
    func `decide as Daypass does, and say so`(gateway: Gateway) async throws {
        let stage = try await GatewayStage(gateway)
        try await letGoodTokensThrough(stage)
        try await readHeadersAlike(stage)
        try await takeLongTokens(stage)
        try await refuseTheRest(stage)
        try await passBodiesOn(stage)
        try await answerInOrder(stage)
        if !gateway.verifiesByItself {
            try await nameTheClient(stage)
            try await doWithoutDaypass(stage)
        }
        try await stage.stop()
    }

    private func letGoodTokensThrough(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        let verified = try await stage.broker.verify(token)
        // Claude Code sends both.
        let (bearer, key) = (("Authorization", "Bearer \(token)"), ("x-api-key", token))
        for headers in [[bearer], [key], [bearer, key], [key, bearer]] {
            let answer = try await stage.ask("GET", "/v1/messages?beta=true&scope=x", headers)
            #expect(answer.status == 200, "\(answer)")
            let seen = try SeenRequest(answer)
            #expect(seen.path == "/v1/messages?beta=true&scope=x")
            for name in Self.names {
                #expect(seen.values(name) == [verified.headers.first(name: name) ?? ""], "\(name)")
            }
            #expect(!seen.headers.contains { ["authorization", "x-api-key"].contains($0.name) })
            #expect(!seen.headers.contains { $0.value.contains(token) }, "\(seen.headers)")
        }

        // Which of two credentials counts must not be a question.
        let other = try await stage.token("other")
        let otherKey = ("x-api-key", other)
        for headers in [[bearer, otherKey], [("Authorization", "Basic YTpi"), key]] {
            let answer = try await stage.ask("GET", "/", headers)
            #expect(answer.status == 401, "\(answer)")
        }
        for headers in [[bearer, ("Authorization", "Bearer \(other)")], [key, otherKey], [otherKey, key]] {
            let answer = try await stage.ask("GET", "/", headers)
            guard answer.status == 200 else {
                #expect([400, 401].contains(answer.status), "\(answer)")
                continue
            }
            #expect(try SeenRequest(answer).values("daypass-subject").count == 1, "\(answer)")
        }

        // No subject comes as another one's.
        for subject in ["repo:a:environment:the stage", "a%20b", "a b", "a ", "j\u{F6}b"] {
            let token = try await stage.token(subject)
            let verified = try await stage.broker.verify(token).headers.first(name: "Daypass-Subject")
            let seen = try SeenRequest(try await stage.ask("GET", "/", bearing: token)).values("daypass-subject")
            #expect(seen.map(\.removingPercentEncoding) == ["github:\(subject)"], "\(seen)")
            // Which encodes more than it has to.
            if stage.gateway != .haproxy { #expect(seen == [verified]) }
        }
    }

    /// What is a token for Daypass is one for its gateways, and nothing else is.
    private func readHeadersAlike(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        // The same bytes, as decoders read them that look at no more bits than they need.
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        let last = try #require(token.last.flatMap { alphabet.firstIndex(of: $0) })
        let alias = "\(token.dropLast())\(alphabet[last ^ 1])"
        for (header, status) in [
            ("Bearer \(token)", 200), ("bearer \(token)", 200), ("BEARER  \(token)", 200), ("Foo Bearer \(token)", 401),
            ("Basic x, Bearer \(token)", 401), ("Bearer \(token), Bearer x", 401), ("Bearer \(token),", 401),
            ("Bearer \(token) x", 401), ("Bearer Bearer \(token)", 401), (token, 401), ("Bearer \(alias)", 401),
        ] {
            let form = header.replacing(token, with: "TOKEN")
            #expect(try await stage.ask("GET", "/", [("Authorization", header)]).status == status, "\(form)")
        }
        for key in ["\(token) x", "\(token),", "Bearer \(token)", alias] {
            #expect(try await stage.ask("GET", "/", [("x-api-key", key)]).status == 401, "\(key)")
        }
        guard stage.gateway == .envoyAsking else { return }
        for (count, status) in [(80, 200), (92, 431)] {
            let headers = (0..<count).map { ("x-\($0)", "y") }
            #expect(try await stage.ask("GET", "/", headers, bearing: token).status == status, "\(count)")
        }
    }

    /// As long as Daypass takes them, in both headers. One that is good and as long is not to be had.
    private func takeLongTokens(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        let long = token + String(repeating: "A", count: 16 * 1024 - token.utf8.count)
        let headers = [("Authorization", "Bearer \(long)"), ("x-api-key", long)]
        #expect(try await stage.ask("GET", "/", headers).status == 401)
    }

    /// Who floods Daypass through a gateway can be found.
    private func nameTheClient(_ stage: GatewayStage) async throws {
        for (number, token) in [nil, "garbage", try await stage.token("job", ["scope": "anthropic:count_tokens"])]
            .enumerated()
        {
            let client = "127.0.1.\(number + 1)"
            let answer = try await stage.ask("GET", "/", bearing: token, from: client)
            let trace = try #require(answer.header("daypass-trace-id"), "\(answer)")
            let found = try await stage.daypass("explain", trace, "--json")
            #expect(found.contains("\"\(client)\""), "\(found)")
        }
    }

    /// The application never hears of it.
    private func refuseTheRest(_ stage: GatewayStage) async throws {
        let (good, dead, short) = (
            try await stage.token(), try await stage.token(), try await stage.token("job", ["rule": "short"])
        )
        let feed = try await stage.token("job", ["scope": "daypass:revocations"])
        let narrow = try await stage.token("job", ["scope": "anthropic:count_tokens"])
        var (payload, signature) = (TokenSegments(good), TokenSegments(good))
        payload.payload = TokenSegments(narrow).payload
        signature.signatureBytes[7] ^= 1
        #expect(try await stage.ask(bearing: dead).status == 200)
        try await stage.revoke(dead)
        try await waitUntil("the token expires") { try await stage.broker.verify(short).status == 401 }
        // Envoy allows a second, and HAProxy's map follows by itself.
        try await waitUntil("it is refused", within: 10) { try await stage.ask(bearing: short).status == 401 }
        let isSeen = stage.gateway != .envoyVerifying
        if isSeen {
            try await waitUntil("so is the other", within: 5) { try await stage.ask(bearing: dead).status == 401 }
        }

        let reached = try await stage.reached
        let refused = [
            ("nothing", nil, 401), ("expired", short, 401), ("payload", payload.token, 401),
            ("signature", signature.token, 401), ("for the broker", feed, 401), ("no token", "sk-ant-api03-x", 401),
            ("scope", narrow, 403),
        ]
        for (name, token, status) in refused + (isSeen ? [("revoked", dead, 401)] : []) {
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"] {
                let answer = try await stage.ask(method, "/?access_token=sk-secret", bearing: token)
                #expect(answer.status == status, "\(name), \(method): \(answer)")
                let fault = status == 403 ? "insufficient_scope" : "invalid_token"
                let challenge = token == nil ? "Bearer" : "Bearer error=\"\(fault)\""
                #expect(answer.header("www-authenticate") == challenge, "\(name), \(method): \(answer)")
            }
            guard let token else { continue }
            #expect(try await stage.ask("GET", "/", [("x-api-key", token)]).status == status, "\(name)")
        }
        #expect(try await stage.reached == reached, "the application was asked")
        // What cannot be seen offline, as the table of gateways says.
        if !isSeen { #expect(try await stage.ask(bearing: dead).status == 200) }
        #expect(try await stage.ask(bearing: good).status == 200)
    }

    /// To the application, and not to Daypass.
    private func passBodiesOn(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        let body = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) | 0x80 }
        let digest = HashAlgorithm.sha256.digest(body).map { String(format: "%02x", $0) }.joined()
        let size = String(body.count, radix: 16)
        let asked = try stage.relayed().utf8.count
        let chunked = Array("\(size)\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8)
        for (header, bytes) in [
            (("Content-Length", "\(body.count)"), body), (("Transfer-Encoding", "chunked"), chunked),
        ] {
            let answer = try await stage.ask("POST", "/v1/messages", [header], bearing: token, body: bytes)
            #expect(answer.status == 200, "\(answer)")
            let seen = try SeenRequest(answer)
            #expect(seen.method == "POST" && seen.length == body.count && seen.digest == digest)
        }
        let relayed = try stage.relayed().utf8.dropFirst(asked)
        #expect(relayed.count < 100_000 && !relayed.contains { $0 >= 0x80 }, "a body went to Daypass")
    }

    /// Pipelined requests, each with its own verdict.
    private func answerInOrder(_ stage: GatewayStage) async throws {
        let narrow = try await stage.token("narrow", ["scope": "anthropic:count_tokens"])
        let people = ["one", "two", "three"]
        var kinds: [(token: String?, status: Int, subject: String?)] = [(nil, 401, nil), (narrow, 403, nil)]
        for person in people { kinds.append((try await stage.token(person), 200, "github:\(person)")) }
        let order = (0..<60).map { kinds[($0 * 7 + $0 / 5) % kinds.count] }
        var next = 0
        while next < order.count {
            let requests = order[next...].enumerated().flatMap { offset, kind in
                let headers = kind.token.map { [("x-api-key", $0)] } ?? []
                return GatewayStage.request("GET", "/\(next + offset)", headers)
            }
            let first = next
            // Some end the connection after a refusal: what was sent behind it is sent again.
            let answers = try await PlainConnection.exchange(requests, port: stage.port, count: order.count - next)
            for answer in answers {
                #expect(answer.status == order[next].status, "\(next): \(answer)")
                if answer.status == 200 {
                    let seen = try SeenRequest(answer)
                    #expect(seen.path == "/\(next)")
                    #expect(seen.values("daypass-subject") == [order[next].subject], "\(next)")
                }
                next += 1
            }
            try #require(next > first, "no answer")
        }
    }

    /// 503 while Daypass does not answer, and 500 only where the application does.
    private func doWithoutDaypass(_ stage: GatewayStage) async throws {
        let token = try await stage.token()
        let narrow = try await stage.token("job", ["scope": "anthropic:count_tokens"])
        #expect(try await stage.ask("GET", "/500", bearing: token).status == 500)
        for isFrozen in [false, true] {
            let reached = try await stage.reached
            if isFrozen { try await stage.freeze(true) } else { try await stage.cut() }
            for token in [token, narrow, "no token", nil] {
                let answer = try await stage.ask("POST", "/v1/messages", [("Content-Length", "0")], bearing: token)
                #expect(answer.status == 503, "\(isFrozen): \(answer)")
                if stage.gateway != .traefik { #expect(answer.header("retry-after") == "1", "\(answer)") }
            }
            #expect(try await stage.reached == reached, "the application was asked")
            let asked = try stage.relayed().count
            if isFrozen { try await stage.freeze(false) } else { try await stage.restore() }
            try await waitUntil("Daypass answers again", within: 30) {
                try await stage.ask(bearing: token).status == 200
            }
            guard isFrozen else { continue }
            // What waited is recorded now. Nobody waits for two answers that do not come.
            func questions() throws -> Int {
                try stage.relayed().dropFirst(asked).components(separatedBy: narrow).count - 1
            }
            try await waitUntil("the question is recorded", within: 30) { try questions() > 0 }
            #expect(try questions() == 1)
        }
        stage.garble(true)
        try await waitUntil("Daypass answers nonsense", within: 30) {
            try await stage.ask(bearing: token).status != 200
        }
        for token in [token, narrow, nil] {
            #expect(try await stage.ask(bearing: token).status == 503)
        }
        stage.garble(false)
        try await waitUntil("Daypass answers again", within: 30) { try await stage.ask(bearing: token).status == 200 }
    }
}

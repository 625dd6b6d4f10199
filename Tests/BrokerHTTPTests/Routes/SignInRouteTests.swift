import AsyncHTTPClient
import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import OpenSSL
import Testing

/// `POST /oauth/device_authorization`, and the grants of people at `POST /oauth/token`, as Claude Code speaks them.
@Suite(.onOwnThreads) struct `Signing in over HTTP` {
    private static let deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

    private func poll(_ broker: LiveBroker, _ code: String) async throws -> LiveBroker.Answer {
        try await broker.token([("grant_type", Self.deviceGrant), ("device_code", code)])
    }

    private func refresh(_ broker: LiveBroker, _ token: String) async throws -> LiveBroker.Answer {
        try await broker.token([("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// A device code that alice approved.
    private func approved(_ broker: LiveBroker) async throws -> String {
        let begun = try await broker.posted("/oauth/device_authorization", [("surface", "claude_code")])
        try await broker.approve(try #require(begun.text("user_code")))
        return try #require(begun.text("device_code"))
    }

    @Test func `a device begins with a surface alone and gets the fields of RFC 8628, not to be stored`() async throws {
        try await LiveBroker.run(signsIn: true) { broker in
            let answer = try await broker.posted(
                "/oauth/device_authorization", [("surface", "claude_code"), ("x", "y")])
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(
                answer.json.members.map(\.name) == [
                    "device_code", "user_code", "verification_uri", "expires_in", "interval",
                ])
            #expect(answer.text("device_code")?.utf8.count == 43 && answer.text("user_code")?.utf8.count == 9)
            #expect(answer.text("verification_uri") == "https://broker.example.com/device")
            #expect(answer.json["expires_in"] == 600 && answer.json["interval"] == 5)
            let device = broker.signIn?.devices.pending(try #require(answer.text("user_code")), from: .loopback)
            guard case .found(let found) = device else { throw CocoaError(.coderValueNotFound) }
            #expect(found.device.surface == "claude_code")
        }
    }

    @Test func `polling answers as RFC 8628 has it: pending, slow down, and once a token`() async throws {
        let clock = ManualClock(now: Date())
        try await LiveBroker.run(clock: clock, signsIn: true) { broker in
            let begun = try await broker.posted("/oauth/device_authorization", [])
            let code = try #require(begun.text("device_code"))
            var answer = try await poll(broker, code)
            #expect(answer.status == 400 && answer.text("error") == "authorization_pending")
            answer = try await poll(broker, code)
            #expect(answer.status == 400 && answer.text("error") == "slow_down")
            try await broker.approve(try #require(begun.text("user_code")))
            clock.advance(by: .seconds(10))
            answer = try await poll(broker, code)
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(
                answer.json.members.map(\.name) == [
                    "access_token", "token_type", "expires_in", "scope", "session_id", "refresh_token", "email",
                ])
            #expect(answer.text("email") == "job@example.com" && answer.text("token_type") == "Bearer")
            let bearer = [("Authorization", "Bearer \(answer.text("access_token") ?? "")")]
            #expect(try await broker.send(.GET, "/verify?scope=anthropic:messages", bearer).status == 200)
            clock.advance(by: .seconds(10))
            answer = try await poll(broker, code)
            #expect(answer.status == 400 && answer.text("error") == "expired_token")
        }
    }

    @Test func `a device that was denied is told so with 400 access_denied`() async throws {
        try await LiveBroker.run(signsIn: true) { broker in
            let begun = try await broker.posted("/oauth/device_authorization", [])
            let denial = DeviceDenial(.person, under: TraceID())
            broker.signIn?.devices.deny(try #require(UserCode(typed: begun.text("user_code") ?? "")), denial)
            let answer = try await poll(broker, begun.text("device_code") ?? "")
            #expect(answer.status == 400 && answer.text("error") == "access_denied")
            // What `explain` knows, and not the poll's own.
            #expect(
                answer.text("error_description") == "the device was refused on the page (trace \(denial.trace))")
        }
    }

    @Test func `a refresh answers 200 with the next token, and after a revocation 401 invalid_grant with a challenge`()
        async throws
    {
        try await LiveBroker.run(signsIn: true) { broker in
            let first = try await poll(broker, approved(broker))
            let second = try await refresh(broker, try #require(first.text("refresh_token")))
            #expect(second.status == 200, "\(second.body)")
            #expect(second.text("session_id") == first.text("session_id"))
            let token = try #require(second.text("refresh_token"))
            #expect(token != first.text("refresh_token"))
            let revoked = try await broker.posted(
                "/oauth/revoke", [("token", token), ("token_type_hint", "refresh_token")])
            #expect(revoked.status == 200 && revoked.body.isEmpty)
            let refused = try await refresh(broker, token)
            #expect(refused.status == 401 && refused.text("error") == "invalid_grant")
            #expect(refused.headers.first(name: "WWW-Authenticate")?.hasPrefix("Bearer") == true)
            let bearer = [("Authorization", "Bearer \(second.text("access_token") ?? "")")]
            #expect(try await broker.send(.GET, "/verify?scope=anthropic:messages", bearer).status == 401)
        }
    }

    @Test(arguments: [
        ("device_code", "invalid_request"), ("refresh_token", "invalid_request"), ("secret", "invalid_client"),
    ])
    func `a request that lacks its parameter, or comes with a secret, is refused`(of what: String, error: String)
        async throws
    {
        try await LiveBroker.run(signsIn: true) { broker in
            let grant = what == "refresh_token" ? what : Self.deviceGrant
            let more = what == "secret" ? [("device_code", "x"), ("client_secret", "y")] : []
            let answer = try await broker.token([("grant_type", grant)] + more)
            #expect(answer.status == (what == "secret" ? 401 : 400) && answer.text("error") == error)
        }
    }

    @Test func `the sixty-fifth device of an address is told 429 and when to come again`() async throws {
        try await LiveBroker.run(trustedProxies: ["127.0.0.1"], signsIn: true) { broker in
            func begin(_ address: String) async throws -> LiveBroker.Answer {
                try await broker.posted("/oauth/device_authorization", [], [("X-Forwarded-For", address)])
            }
            for _ in 0..<64 { #expect(try await begin("192.0.2.7").status == 200) }
            let answer = try await begin("192.0.2.7")
            #expect(answer.status == 429 && answer.text("error") == "temporarily_unavailable")
            #expect(answer.headers.first(name: "Retry-After") == "30")
            #expect(try await begin("192.0.2.8").status == 200)
        }
    }

    @Test func `of ten thousand devices of one address 64 wait, and somebody elsewhere signs in`() async throws {
        try await LiveBroker.run(trustedProxies: ["127.0.0.1"], signsIn: true) { broker in
            // Over a few connections that are kept: none is made for each.
            @Sendable func begin(_ count: Int) async throws -> [UInt] {
                var request = HTTPClientRequest(url: broker.origin + "/oauth/device_authorization")
                request.method = .POST
                request.headers = [
                    "Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "192.0.2.7",
                ]
                var statuses: [UInt] = []
                for _ in 0..<count {
                    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
                    _ = try await response.body.collect(upTo: 4096)
                    statuses.append(response.status.code)
                }
                return statuses
            }
            let statuses = try await withThrowingTaskGroup(of: [UInt].self) { group in
                for _ in 0..<10 { group.addTask { try await begin(1000) } }
                return try await group.reduce(into: [UInt: Int]()) { counts, statuses in
                    for status in statuses { counts[status, default: 0] += 1 }
                }
            }
            #expect(statuses == [200: 64, 429: 9936])
            #expect(broker.signIn?.devices.count == 64)
            let honest = try await broker.posted(
                "/oauth/device_authorization", [], [("X-Forwarded-For", "192.0.2.8")])
            try await broker.approve(try #require(honest.text("user_code")))
            #expect(try await poll(broker, try #require(honest.text("device_code"))).status == 200)
        }
    }

    @Test func `of two who poll with one device code one gets the token`() async throws {
        let clock = ManualClock(now: Date())
        try await LiveBroker.run(trustedProxies: ["127.0.0.1"], clock: clock, signsIn: true) { broker in
            let code = try await approved(broker)
            let form = [("grant_type", Self.deviceGrant), ("device_code", code)]
            #expect(try await broker.token(form, [("X-Forwarded-For", "192.0.2.7")]).status == 200)
            clock.advance(by: .seconds(10))
            let second = try await broker.token(form, [("X-Forwarded-For", "192.0.2.8")])
            #expect(second.status == 400 && second.text("error") == "expired_token")
        }
    }

    @Test func `after ten minutes a code is old, whoever approves it then`() async throws {
        let clock = ManualClock(now: Date())
        try await LiveBroker.run(clock: clock, signsIn: true) { broker in
            let begun = try await broker.posted("/oauth/device_authorization", [])
            let (code, device) = (try #require(begun.text("user_code")), try #require(begun.text("device_code")))
            clock.advance(by: .seconds(600))
            #expect(
                broker.signIn?.devices.deny(
                    try #require(UserCode(typed: code)), DeviceDenial(.person, under: TraceID())) == false)
            let answer = try await poll(broker, device)
            #expect(answer.status == 400 && answer.text("error") == "expired_token")
            #expect(broker.signIn?.devices.count == 1, "it is forgotten with the next that begins")
            _ = try await broker.posted("/oauth/device_authorization", [])
            #expect(broker.signIn?.devices.count == 1)
        }
    }

    @Test func `fifty who refresh at once get the same next token`() async throws {
        try await LiveBroker.run(signsIn: true) { broker in
            let first = try await poll(broker, approved(broker))
            let token = try #require(first.text("refresh_token"))
            let answers = try await withThrowingTaskGroup(of: LiveBroker.Answer.self) { group in
                for _ in 0..<50 { group.addTask { try await refresh(broker, token) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 200 })
            #expect(Set(answers.map { $0.text("refresh_token") }).count == 1)
            #expect(Set(answers.map { $0.text("access_token") }).count == 50, "a gateway token is nobody else's")
        }
    }

    @Test func `a refresh that waits for the provider takes no place of an exchange`() async throws {
        let provider = SilentProvider()
        try await LiveBroker.run(exchangesUnderWay: 1, signsIn: true, provider: provider) { broker in
            let begun = try await broker.posted("/oauth/device_authorization", [])
            try await broker.approve(
                try #require(begun.text("user_code")), providerToken: SecretBytes(copying: [1, 2, 3].span))
            let first = try await poll(broker, try #require(begun.text("device_code")))
            let token = try #require(first.text("refresh_token"))
            async let waiting = refresh(broker, token)
            await provider.untilAsked()
            #expect(try await broker.exchange(broker.subjectToken()).status == 200)
            provider.answer()
            #expect(try await waiting.status == 200)
        }
    }

    /// Says nothing before it is told to.
    private final class SilentProvider: IdentityProvider {
        private let asked = AsyncStream<Void>.makeStream()
        private let answered = AsyncStream<Void>.makeStream()

        func renew(_ token: SecretBytes) async throws(ProviderFailure) -> ProviderRenewal {
            asked.continuation.yield()
            for await _ in answered.stream {}
            return ProviderRenewal(.none, token: nil)
        }

        func untilAsked() async { for await _ in asked.stream { break } }

        func answer() { answered.continuation.finish() }
    }

    @Test func `the metadata name the endpoint and the grants where people sign in, and nowhere else`() async throws {
        for signsIn in [false, true] {
            try await LiveBroker.run(signsIn: signsIn) { broker in
                let metadata = try await broker.send(.GET, "/.well-known/oauth-authorization-server")
                let endpoint = metadata.text("device_authorization_endpoint")
                #expect(endpoint == (signsIn ? "https://broker.example.com/oauth/device_authorization" : nil))
                let grants = metadata.json["grant_types_supported"]?.array ?? []
                #expect(grants.contains("refresh_token") == signsIn)
                #expect(grants.contains(.string(ExactString(Self.deviceGrant))) == signsIn)
                #expect(metadata.text("revocation_endpoint") == "https://broker.example.com/oauth/revoke")
                let begun = try await broker.posted("/oauth/device_authorization", [])
                #expect(begun.status == (signsIn ? 200 : 404))
                let polled = try await poll(broker, "x")
                #expect(polled.text("error") == (signsIn ? "expired_token" : "unsupported_grant_type"))
                #expect(try await broker.send(.GET, "/oauth/device_authorization").status == (signsIn ? 405 : 404))
            }
        }
    }
}

extension LiveBroker {
    func posted(
        _ path: String, _ parameters: [(String, String)], _ headers: [(String, String)] = []
    ) async throws -> Answer {
        let type = ("Content-Type", "application/x-www-form-urlencoded")
        return try await send(.POST, path, [type] + headers, body: Self.form(parameters))
    }

    /// Approves the device that waits with that code, as somebody whom the rule `ci` matches.
    /// - Parameter session: `sid` at the provider.
    func approve(
        _ userCode: String, providerSession session: ExactString? = nil, providerToken: SecretBytes? = nil
    ) async throws {
        let signIn = try #require(signIn)
        let subject = try await authenticator.authenticate(SecretText(subjectToken()), at: Date())
        guard case .granted(let grant) = rules.match(subject, naming: nil) else {
            throw CocoaError(.coderValueNotFound)
        }
        let approval = Approval(
            subject: subject, since: 0, grant: grant, email: "job@example.com", providerToken: providerToken,
            providerSession: session)
        #expect(signIn.devices.approve(try #require(UserCode(typed: userCode)), with: approval))
    }
}

extension IPAddress {
    fileprivate static var loopback: IPAddress { IPAddress(bytes: [127, 0, 0, 1])! }
}

import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Synchronization
import Testing

@testable import BrokerHTTP

/// The provider's client, against a provider that answers whatever a test wants.
@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct OpenIDProviderTests {
    /// What the provider says, in which ORIGIN is its origin.
    private final class Script: Sendable {
        let discovery = Mutex(
            #"{"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/login?tenant=1","token_endpoint":"ORIGIN/token"}"#)
        let token = Mutex(LoopbackServer.Answer.document("{}"))
    }

    private struct Live {
        let provider: OpenIDProvider
        let server: LoopbackServer
        let issuer: TestIssuer
        let script: Script

        /// Answers the code with an ID token of these claims.
        func give(_ changes: JSONObject, nonce: String?, more: JSONObject = [:]) throws {
            var claims = issuer.claims(audience: "daypass", at: Date())
            if let nonce { claims = claims.merging(["nonce": .string(ExactString(nonce))]) }
            let token = try issuer.token(claims.merging(changes))
            let answer = (["id_token": .string(ExactString(token))] as JSONObject).merging(more)
            script.token.withLock { $0 = .document(String(decoding: answer.encoded(), as: UTF8.self)) }
        }
    }

    private func run(
        secret: String? = "s:ec ret", discovery: String? = nil, timeLimit: Duration = .seconds(60),
        fetcher: StubKeySetFetcher? = nil, _ body: (Live) async throws -> Void
    ) async throws {
        let script = Script()
        if let discovery { script.discovery.withLock { $0 = discovery } }
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            target.hasSuffix("/openid-configuration")
                ? .document(
                    script.discovery.withLock { $0 }.replacing("ORIGIN", with: "http://127.0.0.1:\(port)"))
                : script.token.withLock { $0 }
        }
        try await LoopbackServer.run(answer: answer) { server in
            let issuer = try TestIssuer(server.origin, algorithm: .ES256)
            let configuration = IssuerConfiguration(
                name: try #require(IssuerName(parsing: "corp")), issuer: ExactString(server.origin),
                audience: "daypass", algorithms: [.ES256], allowsPrivateAddresses: true)
            let keys =
                try fetcher.map { IssuerKeys(name: configuration.name, fetcher: $0, clock: SystemClock()) }
                ?? IssuerKeys(name: configuration.name, keys: issuer.keySet, clock: SystemClock())
            let authenticator = JWTAuthenticator([TrustedIssuer(configuration: configuration, keys: keys)])
            let provider = try OpenIDProvider(
                issuer: configuration,
                client: .init(
                    id: "daypass", secret: secret.map { SecretText($0) }, scopes: ["openid", "email"],
                    parameters: [.init(name: "access_type", value: "off&line=1")],
                    redirectURI: "https://daypass.example.com/oauth/callback"),
                authenticator: { authenticator },
                fetcher: GuardedFetcher(resolver: StubResolver(), timeLimit: timeLimit), clock: SystemClock())
            try await body(Live(provider: provider, server: server, issuer: issuer, script: script))
        }
    }

    private func query(_ url: String) throws -> FormBody {
        try FormBody(parsing: Array(try #require(url.split(separator: "?", maxSplits: 1).last).utf8))
    }

    private func callback(_ attempt: AuthorizationAttempt, _ more: String = "&code=abc") throws -> AuthorizationCallback
    {
        try AuthorizationCallback(query: "state=\(attempt.state.reveal())\(more)")
    }

    @Test func `a browser is sent away with state, nonce and a challenge`() async throws {
        try await run { live in
            let (url, attempt) = try await live.provider.begin()
            #expect(url.hasPrefix("\(live.server.origin)/login?tenant=1&response_type=code&"))
            let query = try query(url)
            #expect(query["client_id"] == "daypass")
            #expect(query["scope"] == "openid email")
            #expect(query["redirect_uri"] == "https://daypass.example.com/oauth/callback")
            #expect(query["access_type"] == "off&line=1")
            #expect(query["state"]?.string == attempt.state.reveal())
            #expect(query["nonce"]?.string == attempt.nonce.reveal())
            #expect(query["code_challenge_method"] == "S256")
            #expect(query["code_challenge"]?.string == attempt.challenge)
            #expect(!url.contains(attempt.verifier.reveal()))
            let (other, second) = try await live.provider.begin()
            #expect(other != url)
            #expect(second.state.reveal() != attempt.state.reveal())
            // The document was fetched once.
            #expect(live.server.tally.requests.count == 1)
        }
    }

    @Test func `the challenge is that of RFC 7636`() throws {
        let attempt = try #require(
            AuthorizationAttempt([
                "state": "s", "nonce": "n", "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            ]))
        #expect(attempt.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    }

    @Test func `whoever comes back with a good code is signed in`() async throws {
        try await run { live in
            let (_, attempt) = try await live.provider.begin()
            try live.give(
                ["email": "alice@example.com", "sid": "s1"], nonce: attempt.nonce.reveal(),
                more: ["refresh_token": "again", "access_token": "unread"])
            let signIn = try await live.provider.finish(callback(attempt), of: attempt)
            #expect(signIn.subject.identity == "corp:alice")
            #expect(signIn.email == "alice@example.com")
            #expect(signIn.session == "s1")
            #expect(signIn.token == SecretBytes(copying: Array("again".utf8).span))
            let request = try #require(live.server.tally.requests.last)
            #expect(request.hasPrefix("POST /token HTTP/1.1"))
            #expect(request.contains("code_verifier=\(attempt.verifier.reveal())"))
            #expect(request.contains("grant_type=authorization_code&code=abc&redirect_uri=https%3A%2F%2F"))
            let basic = Data("daypass:s%3Aec%20ret".utf8).base64EncodedString()
            #expect(request.lowercased().contains("authorization: basic \(basic.lowercased())"))
            #expect(!request.contains("client_secret"))
        }
    }

    @Test(arguments: [
        (nil, nil, "client_id=daypass"),
        ("top", #"["client_secret_post"]"#, "client_id=daypass&client_secret=top"),
    ])
    func `a client authenticates as the provider wants it`(secret: String?, methods: String?, expected: String)
        async throws
    {
        let more = methods.map { #","token_endpoint_auth_methods_supported":\#($0)"# } ?? ""
        let document =
            #"{"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/a","token_endpoint":"ORIGIN/token"\#(more)}"#
        try await run(secret: secret, discovery: document) { live in
            let (_, attempt) = try await live.provider.begin()
            try live.give([:], nonce: attempt.nonce.reveal())
            _ = try await live.provider.finish(callback(attempt), of: attempt)
            let request = try #require(live.server.tally.requests.last)
            #expect(request.hasSuffix(expected))
            #expect(!request.lowercased().contains("authorization:"))
        }
    }

    @Test(arguments: [
        ("state=other&code=abc", AuthorizationFailure.state), ("code=abc", .state), ("state=&code=abc", .state),
        ("STATE&code=abc&iss=https%3A%2F%2Fevil.example", .issuer),
        ("STATE&error=access_denied&iss=https%3A%2F%2Fevil.example", .issuer),
        ("STATE&error=access_denied", .denied), ("STATE&error=server_error", .answered(#""server_error""#)),
        ("STATE&error=%C3%A9%22", .answered(#""\u{00E9}\"""#)), ("STATE", .noCode), ("STATE&code=", .noCode),
    ])
    func `a callback that is none asks the provider for nothing`(text: String, failure: AuthorizationFailure)
        async throws
    {
        try await run { live in
            let (_, attempt) = try await live.provider.begin()
            let query = text.replacing("STATE", with: "state=\(attempt.state.reveal())")
            await #expect(throws: failure) {
                try await live.provider.finish(AuthorizationCallback(query: query), of: attempt)
            }
            #expect(live.server.tally.requests.count == 1)
        }
    }

    @Test(arguments: ["state=a&state=b&code=c", "state=a&code=b&code=c", "state=a&code=%0A", "state=%FF"])
    func `an ambiguous callback is none`(query: String) {
        #expect(throws: FormFailure.self) { try AuthorizationCallback(query: query) }
    }

    @Test func `a provider that always names itself has to`() async throws {
        let document = #"""
            {"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/a","token_endpoint":"ORIGIN/token",
            "authorization_response_iss_parameter_supported":true}
            """#
        try await run(discovery: document) { live in
            let (_, attempt) = try await live.provider.begin()
            try live.give([:], nonce: attempt.nonce.reveal())
            await #expect(throws: AuthorizationFailure.issuer) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
            let named = try callback(attempt, "&code=abc&iss=\(FormEncoding.encode(live.server.origin))")
            #expect(try await live.provider.finish(named, of: attempt).subject.identity == "corp:alice")
        }
    }

    @Test(
        arguments: [
            ["nonce": "other"], ["aud": "other"], ["aud": ["daypass", "other"]], ["azp": "other"],
            ["aud": ["daypass", "other"], "azp": "other"], ["iss": "https://evil.example"], ["exp": 1],
            ["events": ["http://schemas.openid.net/event/backchannel-logout": [:]]],
        ] as [JSONObject])
    func `an ID token for somebody else proves nothing`(changes: JSONObject) async throws {
        try await run { live in
            let (_, attempt) = try await live.provider.begin()
            try live.give(changes, nonce: attempt.nonce.reveal())
            let failure = await #expect(throws: AuthorizationFailure.self) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
            #expect(failure?.word == "id_token", "\(failure as Any)")
        }
    }

    @Test func `an ID token without a nonce, and none at all, prove nothing`() async throws {
        try await run { live in
            let (_, attempt) = try await live.provider.begin()
            try live.give([:], nonce: nil)
            let failure = await #expect(throws: AuthorizationFailure.self) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
            #expect(failure == .idToken("its nonce is not ours"))
            live.script.token.withLock { $0 = .document(#"{"access_token":"a"}"#) }
            await #expect(throws: AuthorizationFailure.self) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
        }
    }

    @Test(arguments: [
        ("400 Bad Request", #"{"error":"invalid_grant"}"#, "code"),
        ("401 Unauthorized", #"{"error":"invalid_client"}"#, "unavailable"),
        ("400 Bad Request", "<html>", "unavailable"), ("500 Oops", #"{"error":"invalid_grant"}"#, "unavailable"),
        ("200 OK", "[]", "unavailable"), ("302 Found", "", "unavailable"),
    ])
    func `what the token endpoint answers tells a bad code from a bad provider`(
        status: String, body: String, word: String
    ) async throws {
        try await run { live in
            let (_, attempt) = try await live.provider.begin()
            let elsewhere = ["Location: \(live.server.origin)/elsewhere"]
            live.script.token.withLock { $0 = .document(body, status: status, headers: elsewhere) }
            let failure = await #expect(throws: AuthorizationFailure.self) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
            #expect(failure?.word == word, "\(failure as Any)")
            // Neither followed nor repeated.
            #expect(live.server.tally.requests.count == 2)
        }
    }

    @Test func `a form whose answer breaks off is not posted again`() async throws {
        try await run { live in
            let (_, attempt) = try await live.provider.begin()
            live.script.token.withLock { $0 = .bytes([]) }
            let failure = await #expect(throws: AuthorizationFailure.self) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
            #expect(failure?.word == "unavailable")
            #expect(live.server.tally.requests.count == 2)
        }
    }

    @Test func `a provider that does not answer is waited for only so long`() async throws {
        try await run(timeLimit: .milliseconds(500)) { live in
            let (_, attempt) = try await live.provider.begin()
            live.script.token.withLock { $0 = .stall([]) }
            let failure = await #expect(throws: AuthorizationFailure.self) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
            #expect(failure?.details.hasSuffix("did not answer in time") == true)
        }
    }

    @Test(arguments: [
        #"{"issuer":"https://evil.example","authorization_endpoint":"ORIGIN/a","token_endpoint":"ORIGIN/token"}"#,
        #"{"issuer":"ORIGIN","token_endpoint":"ORIGIN/token"}"#,
        #"{"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/a"}"#,
        #"{"issuer":"ORIGIN","authorization_endpoint":"javascript:alert(1)","token_endpoint":"ORIGIN/token"}"#,
        #"{"issuer":"ORIGIN","authorization_endpoint":"http://evil.example/a","token_endpoint":"ORIGIN/token"}"#,
        #"{"issuer":"ORIGIN","authorization_endpoint":"https://u@a.example/","token_endpoint":"ORIGIN/token"}"#,
        #"{"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/a#x","token_endpoint":"ORIGIN/token"}"#, "<html>",
    ])
    func `nobody is sent where a bad document says`(document: String) async throws {
        try await run(discovery: document) { live in
            await #expect(throws: ProviderFailure.self) { _ = try await live.provider.begin() }
        }
    }

    @Test func `a renewal asks again who somebody is`() async throws {
        try await run { live in
            let presented = SecretBytes(copying: Array("first".utf8).span)
            try live.give([:], nonce: nil, more: ["refresh_token": "second"])
            let renewal = try await live.provider.renew(presented)
            #expect(renewal.vouching.subject?.identity == "corp:alice")
            #expect(renewal.token == SecretBytes(copying: Array("second".utf8).span))
            #expect(live.server.tally.requests.last?.contains("refresh_token=first") == true)
            live.script.token.withLock { $0 = .document("{}") }
            let silent = try await live.provider.renew(presented)
            #expect(silent.vouching.subject == nil)
            #expect(silent.token == nil)
        }
    }

    @Test(
        arguments: [
            (["aud": "another"], true), (["aud": ["daypass", "another"], "azp": "another"], true),
            (["azp": "another"], true), (["exp": 1], false), (["iss": "https://evil.example"], false),
        ] as [(JSONObject, Bool)])
    func `a renewal whose ID token proves nothing still hands on the provider's next refresh token`(
        changes: JSONObject, isForeign: Bool
    ) async throws {
        try await run { live in
            try live.give(changes, nonce: nil, more: ["refresh_token": "second"])
            let renewal = try await live.provider.renew(SecretBytes(copying: Array("first".utf8).span))
            switch renewal.vouching {
            case .foreign: #expect(isForeign)
            case .unchecked: #expect(!isForeign)
            default: Issue.record("\(renewal.vouching)")
            }
            #expect(renewal.token == SecretBytes(copying: Array("second".utf8).span))
        }
    }

    @Test func `keys that do not come are waited for no longer than the provider itself`() async throws {
        let fetcher = StubKeySetFetcher()
        fetcher.hold()
        defer { fetcher.release() }
        try await run(timeLimit: .milliseconds(500), fetcher: fetcher) { live in
            try live.give([:], nonce: nil, more: ["refresh_token": "second"])
            let renewal = try await live.provider.renew(SecretBytes(copying: Array("first".utf8).span))
            guard case .unchecked(let words) = renewal.vouching else {
                Issue.record("\(renewal.vouching)")
                return
            }
            #expect(words.hasSuffix("keys did not come in time"))
            #expect(renewal.token == SecretBytes(copying: Array("second".utf8).span))
            let (_, attempt) = try await live.provider.begin()
            try live.give([:], nonce: attempt.nonce.reveal())
            let failure = await #expect(throws: AuthorizationFailure.self) {
                try await live.provider.finish(callback(attempt), of: attempt)
            }
            #expect(failure?.word == "unavailable")
        }
    }

    @Test(arguments: [
        ("400 Bad Request", #"{"error":"invalid_grant"}"#, "refused"), ("400 Bad Request", "", "wordless"),
        ("400 Bad Request", #"{"error":"invalid_request"}"#, "unavailable"),
        ("400 Bad Request", "<html>", "unavailable"),
        ("401 Unauthorized", #"{"error":"invalid_client"}"#, "unavailable"), ("401 Unauthorized", "", "unavailable"),
        ("503 Busy", #"{"error":"invalid_grant"}"#, "unavailable"), ("503 Busy", "", "unavailable"),
    ])
    func `a renewal is refused only where the provider says so`(
        status: String, body: String, word: String
    ) async throws {
        try await run { live in
            live.script.token.withLock { $0 = .document(body, status: status) }
            let failure = await #expect(throws: ProviderFailure.self) {
                _ = try await live.provider.renew(SecretBytes(copying: Array("first".utf8).span))
            }
            let named = try #require(failure)
            #expect("\(named)".hasPrefix(word))
        }
    }
}

extension ProviderRenewal.Vouching {
    fileprivate var subject: VerifiedSubject? {
        if case .proves(let subject) = self { subject } else { nil }
    }
}

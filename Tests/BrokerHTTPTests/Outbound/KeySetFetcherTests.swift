import Broker
import BrokerHTTP
import BrokerTesting
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct KeySetFetcherTests {
    private static let documentPath = "/.well-known/openid-configuration"

    private func fetcher(
        timeLimit: Duration = .seconds(60), _ answers: [String: [[String]]] = [:]
    ) -> GuardedFetcher {
        GuardedFetcher(resolver: StubResolver(answers), timeLimit: timeLimit)
    }

    /// The outcome of discovery at a server that answers `document`, in which ORIGIN is the server's origin, and `keys`
    /// anywhere else.
    private func discover(
        issuer: String = "ORIGIN", document: String, keys: LoopbackServer.Answer = .document(#"{"keys":[]}"#),
        allowsPrivateAddresses: Bool = true
    ) async throws -> (result: Result<FetchedKeySet, KeySetFetchFailure>, tally: LoopbackServer.Tally) {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            target.hasSuffix(Self.documentPath)
                ? .document(document.replacing("ORIGIN", with: "http://127.0.0.1:\(port)")) : keys
        }
        return try await LoopbackServer.run(answer: answer) { server in
            let discovery = try DiscoveryKeySetFetcher(
                issuer: ExactString(issuer.replacing("ORIGIN", with: server.origin)),
                allowsPrivateAddresses: allowsPrivateAddresses, fetcher: fetcher())
            let result: Result<FetchedKeySet, KeySetFetchFailure>
            do throws(KeySetFetchFailure) {
                result = .success(try await discovery.fetch())
            } catch {
                result = .failure(error)
            }
            return (result, server.tally)
        }
    }

    @Test(arguments: [("ORIGIN", ""), ("ORIGIN/", ""), ("ORIGIN/tenant", "/tenant"), ("ORIGIN/tenant/", "/tenant")])
    func `discovery leads to the keys`(issuer: String, path: String) async throws {
        let signer = try TestIssuer(issuer, algorithm: .ES256)
        let (result, tally) = try await discover(
            issuer: issuer, document: String(decoding: signer.discoveryDocument(jwksURI: "ORIGIN/keys"), as: UTF8.self),
            keys: .document(String(decoding: signer.jwks, as: UTF8.self), headers: ["Cache-Control: max-age=300"]))
        let fetched = try result.get()
        #expect(fetched.keys.keys[signer.keyID] != nil)
        #expect(fetched.maximumAge == .seconds(300))
        #expect(tally.requests.map { String($0.split(separator: " ")[1]) } == [path + Self.documentPath, "/keys"])
    }

    @Test(arguments: [
        "ORIGIN/", "ORIGIN/Tenant", "HTTP://127.0.0.1", "http://127.0.0.1", "https://other.example", "",
        "ORIGIN\\u0000", "ORIGIN/tena\\u006et/",
    ])
    func `a document of another issuer is discarded`(published: String) async throws {
        let (result, tally) = try await discover(
            issuer: "ORIGIN/tenant", document: #"{"issuer":"\#(published)","jwks_uri":"ORIGIN/keys"}"#)
        let failure = #expect(throws: KeySetFetchFailure.self) { try result.get() }
        #expect(failure?.description.contains("is of the issuer") == true)
        #expect(tally.connections == 1)
    }

    @Test(arguments: [
        "file:///etc/passwd", "http://10.0.0.1/keys", "http://a.example/keys", "http://169.254.169.254/keys",
        "http://good@127.0.0.1/keys", "unix:///run/x.sock", "/keys", "", "https://127.1/keys", "http://0.0.0.0/keys",
    ])
    func `a jwks_uri that leads elsewhere is not followed`(uri: String) async throws {
        let (result, tally) = try await discover(document: #"{"issuer":"ORIGIN","jwks_uri":"\#(uri)"}"#)
        #expect(throws: KeySetFetchFailure.self) { try result.get() }
        #expect(tally.connections == 1)
    }

    @Test(arguments: [
        "<html><body>Sign in</body></html>", "", "[]", "null", "{", #"{"issuer":"ORIGIN"}"#,
        #"{"issuer":"ORIGIN","jwks_uri":7}"#, #"{"issuer":["ORIGIN"],"jwks_uri":"ORIGIN/keys"}"#,
        #"{"jwks_uri":"ORIGIN/keys"}"#,
        #"{"issuer":"ORIGIN","jwks_uri":"ORIGIN/keys","jwks_uri":"ORIGIN/other"}"#,
        #"{"issuer":"ORIGIN","issuer":"ORIGIN","jwks_uri":"ORIGIN/keys"}"#,
    ])
    func `something else than a discovery document is refused`(document: String) async throws {
        let (result, tally) = try await discover(document: document)
        let failure = #expect(throws: KeySetFetchFailure.self) { try result.get() }
        #expect(failure?.description.hasPrefix("discovery: ") == true)
        #expect(tally.connections == 1)
    }

    @Test(arguments: [
        ("<html></html>", "not acceptable JSON"), ("{}", "no array `keys`"), ("[]", "not acceptable JSON"),
        (#"{"keys":{}}"#, "no array `keys`"), ("", "not acceptable JSON"),
        (#"{"keys":[],"keys":[]}"#, "not acceptable JSON"),
        (#"{"keys":[\#(Array(repeating: "{}", count: 101).joined(separator: ","))]}"#, "more than 100 keys"),
    ])
    func `something else than a key set is refused`(body: String, reason: String) async throws {
        try await LoopbackServer.run(.document(body)) { server in
            let urlFetcher = try URLKeySetFetcher(
                url: "\(server.origin)/keys", allowsPrivateAddresses: true, fetcher: fetcher())
            let failure = await #expect(throws: KeySetFetchFailure.self) { try await urlFetcher.fetch() }
            #expect(failure?.description.hasPrefix("keys: \(server.origin)/keys") == true)
            #expect(failure?.description.contains(reason) == true, "\(failure as Any)")
        }
    }

    @Test func `an empty set is a success: it withdraws all keys`() async throws {
        let (result, _) = try await discover(document: #"{"issuer":"ORIGIN","jwks_uri":"ORIGIN/keys"}"#)
        #expect(try result.get().keys.keys.isEmpty)
    }

    @Test func `a set at a configured URL is fetched`() async throws {
        let signer = try TestIssuer(algorithm: .ES256)
        try await LoopbackServer.run(.document(String(decoding: signer.jwks, as: UTF8.self))) { server in
            let urlFetcher = try URLKeySetFetcher(
                url: "\(server.origin)/keys", allowsPrivateAddresses: true, fetcher: fetcher())
            #expect(try await urlFetcher.fetch().keys.keys[signer.keyID] != nil)
        }
    }

    @Test func `a failure of the keys says so and names the URL`() async throws {
        let (result, _) = try await discover(
            document: #"{"issuer":"ORIGIN","jwks_uri":"ORIGIN/keys"}"#, keys: .document("", status: "500 Oops"))
        let failure = #expect(throws: KeySetFetchFailure.self) { try result.get() }
        #expect(failure?.description.hasPrefix("keys: http://127.0.0.1:") == true)
        #expect(failure?.description.hasSuffix("/keys answers 500") == true)
    }

    @Test func `both documents share one deadline`() async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            let origin = "http://127.0.0.1:\(port)"
            return target == "/keys"
                ? .stall([]) : .document(#"{"issuer":"\#(origin)","jwks_uri":"\#(origin)/keys"}"#)
        }
        try await LoopbackServer.run(answer: answer) { server in
            let discovery = try DiscoveryKeySetFetcher(
                issuer: ExactString(server.origin), allowsPrivateAddresses: true,
                fetcher: fetcher(timeLimit: .milliseconds(500)))
            let failure = await #expect(throws: KeySetFetchFailure.self) { try await discovery.fetch() }
            #expect(failure?.description.hasSuffix("did not answer in time") == true)
        }
    }

    @Test(arguments: [
        "http://127.0.0.1:PORT", "https://127.0.0.1:PORT", "https://[::1]:PORT", "https://a.example:PORT",
    ])
    func `an issuer at a private address is not contacted without allow_private`(issuer: String) async throws {
        try await LoopbackServer.run(.document("{}")) { server in
            let discovery = try DiscoveryKeySetFetcher(
                issuer: ExactString(issuer.replacing("PORT", with: "\(server.port)")), allowsPrivateAddresses: false,
                fetcher: fetcher(["a.example": [["8.8.8.8", "127.0.0.1"]]]))
            await #expect(throws: KeySetFetchFailure.self) { try await discovery.fetch() }
            #expect(server.tally.connections == 0)
        }
    }

    @Test(arguments: [
        "accounts.google.com", "file:///etc/passwd", "https://a.example/?tenant=1", "https://a.example/#x", "https://",
        "https:///", "", "/", "https://a@b.example", "https://127.1", "urn:issuer",
    ])
    func `an issuer that is no URL of a host is refused at start`(issuer: String) {
        #expect(throws: KeySetFetchFailure.self) {
            try DiscoveryKeySetFetcher(issuer: ExactString(issuer), allowsPrivateAddresses: true, fetcher: fetcher())
        }
    }

    @Test func `a malformed URL of the keys is refused at start`() {
        #expect(throws: KeySetFetchFailure.self) {
            try URLKeySetFetcher(url: "keys.json", allowsPrivateAddresses: true, fetcher: fetcher())
        }
    }
}

import Broker
import BrokerHTTP
import BrokerTesting
import JOSE
import Testing

/// What a token says never decides where a request of ours goes.
@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct NoRequestByTokenTests {
    private let clock = ManualClock()

    private func trusted(
        _ issuer: TestIssuer, keysAt url: String, name: String = "corp"
    ) throws -> TrustedIssuer {
        let configuration = IssuerConfiguration(
            name: try #require(IssuerName(parsing: name)), issuer: ExactString(issuer.issuer),
            audience: "https://daypass.example.com", keys: .url(url), algorithms: [.ES256],
            allowsPrivateAddresses: true)
        return try TrustedIssuer(
            configuration, fetcher: GuardedFetcher(resolver: StubResolver(), timeLimit: .seconds(60)), clock: clock)
    }

    @Test(arguments: [
        "http://127.0.0.1:PORT", "http://127.0.0.1:PORT/", "https://127.0.0.1:PORT", "http://localhost:PORT",
        "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://127.0.0.1:PORT/.well-known/../",
    ])
    func `a token of an unknown issuer causes no connection`(issuer: String) async throws {
        let signer = try TestIssuer(algorithm: .ES256)
        try await LoopbackServer.run(.document(String(decoding: signer.jwks, as: UTF8.self))) { server in
            let authenticator = JWTAuthenticator([try trusted(signer, keysAt: "\(server.origin)/keys")])
            let stranger = signer.presenting(issuer: issuer.replacing("PORT", with: "\(server.port)"))
            let token = try stranger.token(stranger.claims(at: clock.now))
            await #expect(throws: AuthenticationFailure.self) {
                try await authenticator.authenticate(SecretText(token), at: clock.now)
            }
            #expect(server.tally.connections == 0)
        }
    }

    @Test func `jku and x5u of a known issuer's token are not followed`() async throws {
        let signer = try TestIssuer(algorithm: .ES256)
        let forger = try TestIssuer(algorithm: .ES256)
        try await LoopbackServer.run(.document(String(decoding: signer.jwks, as: UTF8.self))) { own in
            try await LoopbackServer.run(.document(String(decoding: forger.jwks, as: UTF8.self))) { foreign in
                let authenticator = JWTAuthenticator([try trusted(signer, keysAt: "\(own.origin)/keys")])
                for member in ["jku", "x5u"] {
                    let url = JSONValue.string(ExactString("\(foreign.origin)/keys"))
                    let token = try forger.token(
                        forger.claims(at: clock.now),
                        header: JSONObject(dictionaryLiteral: (ExactString(member), url)))
                    await #expect(throws: AuthenticationFailure.self) {
                        try await authenticator.authenticate(SecretText(token), at: clock.now)
                    }
                }
                #expect(foreign.tally.connections == 0)
                #expect(own.tally.connections <= 1)
            }
        }
    }

    @Test func `ten thousand unknown key ids cause one request`() async throws {
        let signer = try TestIssuer(algorithm: .ES256)
        try await LoopbackServer.run(.document(#"{"keys":[]}"#)) { server in
            let issuer = try trusted(signer, keysAt: "\(server.origin)/keys")
            for number in 0..<10_000 {
                guard case .unknown = await issuer.keys.key(ExactString("kid-\(number)")) else {
                    Issue.record("a key was found")
                    return
                }
            }
            #expect(server.tally.connections == 1)
        }
    }

    @Test func `a token of a known issuer is verified with the keys that its URL publishes`() async throws {
        let signer = try TestIssuer(algorithm: .ES256)
        try await LoopbackServer.run(.document(String(decoding: signer.jwks, as: UTF8.self))) { server in
            let authenticator = JWTAuthenticator([try trusted(signer, keysAt: "\(server.origin)/keys")])
            let token = try signer.token(signer.claims(at: clock.now))
            _ = try await authenticator.authenticate(SecretText(token), at: clock.now)
            #expect(server.tally.connections == 1)
        }
    }
}

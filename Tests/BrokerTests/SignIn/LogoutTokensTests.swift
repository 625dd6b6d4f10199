import BrokerTesting
import Foundation
import JOSE
import Testing

@testable import Broker

struct LogoutTokensTests {
    private static func claims(_ changes: JSONObject = [:]) throws -> JSONObject {
        try Fixture.quick.claims(at: Fixture.now).merging([
            "jti": "1", "sid": "s1", "events": ["http://schemas.openid.net/event/backchannel-logout": [:]],
        ]).merging(changes)
    }

    private static func tokens() throws -> LogoutTokens {
        let trusted = try Fixture.trusted(Fixture.quick)
        return LogoutTokens { trusted }
    }

    @Test func `a logout token ends the session that it names, once`() async throws {
        let (tokens, token) = (try Self.tokens(), SecretText(try Fixture.quick.token(try Self.claims())))
        #expect(try await tokens.take(token, at: Fixture.now).logout == .session("s1", of: "corp:alice"))
        await #expect(throws: LogoutFailure.replayed) { try await tokens.take(token, at: Fixture.now) }
    }

    @Test func `without a session it ends all of a person's`() async throws {
        let token = try Fixture.quick.token(try Self.claims().replacing("sid", with: nil))
        #expect(try await Self.tokens().take(SecretText(token), at: Fixture.now).logout == .subject("corp:alice"))
    }

    @Test(
        arguments: [
            (["nonce": "n"], .nonce), (["events": [:]], .event), (["events": ["other": [:]]], .event),
            (["events": ["http://schemas.openid.net/event/backchannel-logout": true]], .event),
            (["aud": "other"], .audience), (["aud": ["other"]], .audience), (["iat": 1_799_999_879], .time),
            (["iat": 1_800_000_121], .time), (["iat": "1800000000"], .time), (["exp": 1_799_999_969], .time),
            (["iss": "https://other.example.com"], .issuer), (["jti": ""], .form), (["jti": 1], .form),
            (["sid": ""], .form), (["sub": 7], .form),
        ] as [(JSONObject, LogoutFailure)])
    func `anything else ends nothing`(changes: JSONObject, failure: LogoutFailure) async throws {
        let token = SecretText(try Fixture.quick.token(try Self.claims(changes)))
        await #expect(throws: failure) { try await Self.tokens().take(token, at: Fixture.now) }
    }

    @Test func `one that names nobody, or has no id, ends nothing`() async throws {
        let claims = try Self.claims()
        for broken in [
            claims.replacing("jti", with: nil), claims.replacing("sid", with: nil).replacing("sub", with: nil),
        ] {
            let token = SecretText(try Fixture.quick.token(broken))
            await #expect(throws: LogoutFailure.form) { try await Self.tokens().take(token, at: Fixture.now) }
        }
    }

    @Test func `another key, type or no kid is not the provider`() async throws {
        let claims = try Self.claims()
        let stranger = try TestIssuer(Fixture.quick.issuer, algorithm: .EdDSA, keyID: Fixture.quick.keyID)
        let bad = SecretText(try stranger.token(claims))
        await #expect(throws: LogoutFailure.signature) { try await Self.tokens().take(bad, at: Fixture.now) }
        let nameless = SecretText(try Fixture.quick.token(claims, withoutHeader: "kid"))
        await #expect(throws: LogoutFailure.signature) { try await Self.tokens().take(nameless, at: Fixture.now) }
        let access = SecretText(try Fixture.quick.token(claims, header: ["typ": "at+jwt"]))
        await #expect(throws: LogoutFailure.form) { try await Self.tokens().take(access, at: Fixture.now) }
        let typed = SecretText(try Fixture.quick.token(claims, header: ["typ": "logout+jwt"]))
        #expect(try await Self.tokens().take(typed, at: Fixture.now).logout == .session("s1", of: "corp:alice"))
    }

    @Test func `an ID token is none, though the provider signed it for us`() async throws {
        let claims = try Self.claims().replacing("events", with: nil)
        let token = SecretText(try Fixture.quick.token(claims.merging(["nonce": "n"])))
        await #expect(throws: LogoutFailure.nonce) { try await Self.tokens().take(token, at: Fixture.now) }
        let plain = SecretText(try Fixture.quick.token(claims))
        await #expect(throws: LogoutFailure.event) { try await Self.tokens().take(plain, at: Fixture.now) }
    }

    @Test(arguments: ["none", "None", "NONE", "nOnE", "HS256", "ES512"])
    func `an algorithm that the provider is not configured for proves nothing`(name: String) async throws {
        var segments = TokenSegments(try Fixture.quick.token(try Self.claims()))
        let header = try Fixture.quick.header.replacing("alg", with: .string(ExactString(name)))
        segments.header = Base64URL.encode(header.encoded())
        for signature in [segments.signature, ""] {
            let token = SecretText("\(segments.header).\(segments.payload).\(signature)")
            await #expect(throws: LogoutFailure.self) { try await Self.tokens().take(token, at: Fixture.now) }
        }
    }

    @Test(arguments: ["", ".", "..", "a.b.c", "{}", String(repeating: ".", count: 100_000)])
    func `what is no token ends nothing`(text: String) async throws {
        await #expect(throws: LogoutFailure.form) { try await Self.tokens().take(SecretText(text), at: Fixture.now) }
    }

    @Test func `one that nothing came of is good again, and once`() async throws {
        let (tokens, token) = (try Self.tokens(), SecretText(try Fixture.quick.token(try Self.claims())))
        tokens.putBack(try await tokens.take(token, at: Fixture.now))
        _ = try await tokens.take(token, at: Fixture.now)
        await #expect(throws: LogoutFailure.replayed) { try await tokens.take(token, at: Fixture.now) }
    }

    @Test func `of fifty who show one at once one is heard`() async throws {
        let (tokens, token) = (try Self.tokens(), SecretText(try Fixture.quick.token(try Self.claims())))
        let taken = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<50 { group.addTask { (try? await tokens.take(token, at: Fixture.now)) != nil } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(taken == 1)
    }

    @Test func `where nobody signs in, nothing is taken`() async throws {
        let token = SecretText(try Fixture.quick.token(try Self.claims()))
        await #expect(throws: LogoutFailure.issuer) { try await LogoutTokens { nil }.take(token, at: Fixture.now) }
    }
}

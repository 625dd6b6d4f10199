import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// `exp`, `iat` and `nbf`, at every edge and of every wrong type. The token says what it says; the clock moves.
@Suite struct TimeRefusalTests {
    private static let issued = Fixture.now.timeIntervalSince1970

    /// The reason for a token whose numeric claims are these very texts, `now` so many seconds after `iat`.
    private func reason(
        _ raw: [String: String], after seconds: Double = 0, maximumLifetime: Duration = .seconds(3600)
    ) async throws -> AuthenticationFailure.Reason? {
        let issuer = try Fixture.issuer
        var members = ["iat": "1800000000", "exp": "1800000300"]
        members.merge(raw) { $1 }
        let times = members.filter { !$0.value.isEmpty }.map { #""\#($0.key)":\#($0.value)"# }.sorted()
        let payload = #"""
            {"iss":"https://issuer.example.com","sub":"alice","aud":"https://daypass.example.com",\#(times.joined(separator: ","))}
            """#
        let configuration = try Fixture.configuration(issuer, maximumLifetime: maximumLifetime)
        return await refusal(
            of: try issuer.token(rawPayload: payload), by: try Fixture.authenticator(issuer, configuration),
            at: Fixture.now.addingTimeInterval(seconds))
    }

    @Test(
        arguments: [
            (300.0, nil), (329, nil), (329.999, nil), (330, .expired), (331, .expired), (86400, .expired),
            (0, nil), (-29, nil), (-30, nil), (-30.001, .issuedInTheFuture), (-31, .issuedInTheFuture),
        ] as [(Double, AuthenticationFailure.Reason?)])
    func `a token is good from 30 s before iat to just before 30 s after exp`(
        seconds: Double, reason: AuthenticationFailure.Reason?
    ) async throws {
        #expect(try await self.reason([:], after: seconds) == reason)
    }

    @Test(
        arguments: [
            ("1800000100", 70.0, nil), ("1800000100", 71, nil), ("1800000100", 69.999, .notYetValid),
            ("1800000100", 69, .notYetValid), ("1799999700", 0, nil), ("0", 0, nil), ("1800000100.5", 71, nil),
            ("1800000100.5", 70.9, .notYetValid),
        ] as [(String, Double, AuthenticationFailure.Reason?)])
    func `a token is good from 30 s before nbf`(
        notBefore: String, seconds: Double, reason: AuthenticationFailure.Reason?
    ) async throws {
        #expect(try await self.reason(["nbf": notBefore], after: seconds) == reason)
    }

    @Test(
        arguments: [
            ("1800000300.9", 329.999, nil), ("1800000300.9", 330, .expired), ("1.8000003e9", 0, nil),
            ("1800000300.0", 329, nil),
        ] as [(String, Double, AuthenticationFailure.Reason?)])
    func `a fraction of exp is rounded against the holder`(
        expiry: String, seconds: Double, reason: AuthenticationFailure.Reason?
    ) async throws {
        #expect(try await self.reason(["exp": expiry], after: seconds) == reason)
    }

    @Test(
        arguments: [("1800000000.1", -29.0, nil), ("1800000000.1", -29.5, .issuedInTheFuture)]
            as [(String, Double, AuthenticationFailure.Reason?)])
    func `a fraction of iat is rounded against the holder`(
        issuedAt: String, seconds: Double, reason: AuthenticationFailure.Reason?
    ) async throws {
        #expect(try await self.reason(["iat": issuedAt], after: seconds) == reason)
    }

    @Test(
        arguments: ["exp", "iat", "nbf"],
        [#""1800000100""#, "true", "false", "null", "[]", "[1800000100]", "{}", "-1", "-0.5", "-1e9", #""""#])
    func `a time of another type, or before 1970, is refused and never taken for absent`(
        name: String, value: String
    ) async throws {
        #expect(try await reason([name: value]) == .claim(name))
    }

    @Test(
        arguments: ["exp", "iat", "nbf"],
        ["1e400", "-1e400", "1e19", "9007199254740993", "18446744073709551616", "1e309", "99999999999999999999"])
    func `a time that is not finite or beyond 2 to the 53 is no JSON of ours`(
        name: String, value: String
    ) async throws {
        guard case .claimsJSON(let failure) = try await reason([name: value]) else {
            Issue.record("accepted")
            return
        }
        #expect(failure.reason == .number)
    }

    @Test(
        arguments: ["exp", "iat", "nbf"],
        ["NaN", "Infinity", "+1", "01800000100", "0x6B49D200", "1_800_000_100", "1800000100.", ".5", "1e", "--1"])
    func `a time that JSON does not allow is refused`(name: String, value: String) async throws {
        guard case .claimsJSON = try await reason([name: value]) else {
            Issue.record("accepted")
            return
        }
    }

    @Test(arguments: ["exp", "iat"])
    func `exp and iat are required`(name: String) async throws {
        #expect(try await reason([name: ""]) == .claim(name))
    }

    @Test(
        arguments: [
            ("1800000300", nil), ("1800000299", nil), ("1800000301", .lifetime), ("1800000300.5", .lifetime),
            ("9007199254740992", .lifetime), ("1800086400", .lifetime), ("1800000000", .lifetime),
            ("1799999990", .lifetime),
        ] as [(String, AuthenticationFailure.Reason?)])
    func `a token lives at least a moment and at most max_lifetime`(
        expiry: String, reason: AuthenticationFailure.Reason?
    ) async throws {
        #expect(try await self.reason(["exp": expiry], maximumLifetime: .seconds(300)) == reason)
    }

    @Test func `an iat long past does not stretch what max_lifetime allows`() async throws {
        #expect(try await reason(["iat": "0"]) == .lifetime)
        #expect(try await reason(["iat": "1799996700", "exp": "1800000300"]) == nil)
        #expect(try await reason(["iat": "1799996699", "exp": "1800000300"]) == .lifetime)
    }

    @Test func `expired and badly signed is a matter of the signature`() async throws {
        let issuer = try Fixture.issuer
        var segments = TokenSegments(try issuer.token(issuer.claims(at: Fixture.now)))
        segments.signatureBytes[100] ^= 1
        let failure = await #expect(throws: AuthenticationFailure.self) {
            try await Fixture.authenticator(issuer).authenticate(
                SecretText(segments.token), at: Fixture.now.addingTimeInterval(86400))
        }
        #expect(failure?.reason == .jws(.signature))
        #expect(failure?.signer == nil, "nothing that it says is trusted")
    }

    @Test func `an expired token with a good signature says who signed it`() async throws {
        let issuer = try Fixture.issuer
        let token = try issuer.token(issuer.claims(at: Fixture.now))
        let failure = await #expect(throws: AuthenticationFailure.self) {
            try await Fixture.authenticator(issuer).authenticate(
                SecretText(token), at: Fixture.now.addingTimeInterval(86400))
        }
        #expect(failure?.reason == .expired)
        #expect(failure?.signer?.identity == "corp:alice")
        #expect(failure?.signer?.issuer == (try Fixture.name()))
    }

    @Test func `the proof expires when its exp says, without leeway`() async throws {
        let issuer = try Fixture.issuer
        let token = try issuer.token(issuer.claims(at: Fixture.now).replacing("exp", with: .number(1_800_000_300.7)))
        let subject = try await Fixture.authenticator(issuer).authenticate(SecretText(token), at: Fixture.now)
        #expect(subject.expiry == Fixture.now.addingTimeInterval(300))
    }
}

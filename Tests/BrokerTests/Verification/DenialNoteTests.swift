import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What is kept of a denial at `/verify`.
@Suite struct DenialNoteTests {
    private let bench: ExchangeBench

    init() throws {
        let rule = try Fixture.rule(
            "main", texts: [("sub", ["alice"])],
            terms: ExchangeBench.terms(models: ["claude-sonnet-*"]))
        bench = try ExchangeBench(rules: [rule])
    }

    private func noted(
        _ token: SecretText, scopes: [String] = ["a:read"], models: [ExactString] = ["claude-sonnet-4"]
    ) throws -> RecentRefusal? {
        let (trace, now) = (TraceID(), bench.clock.now)
        let requirement = Requirement(scopes: try Fixture.scopes(scopes), models: models)
        let judgement = bench.verifier.judgement(on: token, requiring: requirement, presentedBy: nil, at: now)
        guard case .deny(let denial) = judgement.verdict else { return nil }
        bench.recent.note(
            denial, judgement, token: token, requiring: requirement, trace: trace, client: "192.0.2.9", at: now)
        return bench.recent.refusals(of: trace).first
    }

    @Test func `a token that is let pass is not noted`() async throws {
        #expect(try noted(await bench.opened().accessToken) == nil)
    }

    @Test func `an expired token is noted with whose it was, and both moments`() async throws {
        let response = try await bench.opened()
        bench.clock.advance(by: .seconds(901))
        let refusal = try #require(try noted(response.accessToken))
        #expect(refusal.reason == "expired" && refusal.subject == "corp:alice" && refusal.rule == "main")
        #expect(refusal.sessionID == response.sessionID && refusal.tokenID != nil && refusal.said == nil)
        #expect(
            refusal.facts == [
                .init("exp", wanted: "after 2027-01-15T08:15:01.000Z", got: "2027-01-15T08:15:00.000Z")
            ])
    }

    @Test func `a revoked token is noted with what of it was revoked`() async throws {
        let response = try await bench.opened()
        _ = try await bench.revocations.revoke(RevocationRequest(.subject("corp:alice")), by: .daemon)
        let refusal = try #require(try noted(response.accessToken))
        #expect(refusal.reason == "revoked")
        #expect(
            refusal.facts == [
                .init("revocation", wanted: "none with a number above 0", got: "revoked: subject corp:alice")
            ])
    }

    @Test func `missing scopes and models are noted beside those that the token has`() async throws {
        let token = try await bench.opened(scope: ["a:read"]).accessToken
        let scope = try #require(try noted(token, scopes: ["a:read", "a:write", "b"]))
        #expect(scope.reason == "insufficient_scope")
        #expect(scope.facts == [.init("scope", wanted: "a:write b", got: "a:read")])
        let model = try #require(try noted(token, models: ["gpt-5"]))
        #expect(model.reason == "insufficient_model")
        #expect(model.facts == [.init("models", wanted: "gpt-5", got: "claude-sonnet-*")])
    }

    @Test func `what a gateway requires is kept in short`() async throws {
        let token = try await bench.opened().accessToken
        let scopes = (0..<64).map { "s\($0)" + String(repeating: "x", count: 120) }
        let refusal = try #require(try noted(token, scopes: scopes))
        #expect(refusal.facts[0].wanted.utf8.count < 1200)
        #expect(refusal.facts[0].wanted.hasSuffix(" and 56 more"))
    }

    @Test func `a character of many bytes is cut like any other text`() async throws {
        let token = try await bench.opened(scope: ["a:read"]).accessToken
        let long = "a" + String(repeating: "\u{301}", count: 6000)
        let refusal = try #require(try noted(token, models: [ExactString(long)]))
        #expect((100...128).contains(refusal.facts[0].wanted.utf8.count), "\(refusal.facts[0].wanted.utf8.count)")
    }

    @Test func `a token that proves nothing is noted with what it says`() async throws {
        var forged = TokenSegments(try await bench.opened().accessToken.reveal())
        forged.signature = TokenSegments(try await bench.opened(["jti": "t2"]).accessToken.reveal()).signature
        let refusal = try #require(
            try noted(SecretText("\(forged.header).\(forged.payload).\(forged.signature)")))
        #expect(refusal.reason == "signature" && refusal.subject == nil && refusal.facts.isEmpty)
        #expect(refusal.said?["sub"] == "corp:alice" && refusal.said?["typ"] == "at+jwt")
    }
}

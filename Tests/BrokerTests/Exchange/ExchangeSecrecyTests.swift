import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What an exchange leaves behind: how much of it, and nothing that grants anything.
@Suite struct ExchangeSecrecyTests {
    /// Everything that was logged or recorded, as text.
    private func traces(of bench: ExchangeBench) -> String {
        let events = bench.store.events.map { event in
            "\(event) \(String(decoding: event.details.encoded(), as: UTF8.self))"
        }
        let sessions = bench.store.sessions.map { "\($0) \(String(decoding: $0.claims.encoded(), as: UTF8.self))" }
        return ([bench.log.text] + events + sessions).joined(separator: "\n")
    }

    @Test(arguments: AuditConfiguration.Claims.allCases)
    func `no token and no signature is in any log line, record or error`(claims: AuditConfiguration.Claims) async throws
    {
        let bench = try ExchangeBench(keptClaims: claims)
        var secrets: [String] = []
        var forged = TokenSegments(try bench.token())
        forged.signatureBytes[0] ^= 1
        let stranger = try Fixture.otherIssuer
        let tokens = [
            try bench.token(), try bench.token(["ref": "refs/heads/dev"]), try bench.token(["sub": "a\nb"]),
            try bench.token(["exp": 1_799_999_000]), try bench.token(["aud": 7]), forged.token,
            try stranger.token(stranger.claims(at: Fixture.now)),
            try bench.issuer.token(bench.issuer.claims(at: Fixture.now), header: ["kid": "kid-of-an-attacker"]),
            try bench.issuer.token(bench.issuer.claims(at: Fixture.now), header: ["typ": "wit+jwt"]),
            try bench.issuer.token(bench.issuer.claims(at: Fixture.now), header: ["alg": "none"]),
            "a-password-pasted-by-mistake", "Bearer secret-of-somebody.x.y",
        ]
        var errors = ""
        for token in tokens {
            secrets += token.split(separator: ".").map(String.init).filter { $0.count > 8 }
            let request = try bench.request(token)
            do throws(ExchangeRefusal) {
                let response = try await bench.exchange.exchange(request)
                secrets += response.accessToken.reveal().split(separator: ".").map(String.init)
                errors += "\(response)"
            } catch {
                errors += "\(error)"
            }
        }
        bench.store.fail(with: StoreFailure(.unavailable, "record", cause: "disk full"))
        if let refusal = await bench.refusal(try bench.request(tokens[0])) { errors += "\(refusal)" }
        let left = traces(of: bench) + errors
        #expect(left.contains("corp:alice"), "something has to be there to be searched")
        #expect(secrets.count > 20)
        for secret in secrets { #expect(!left.contains(secret)) }
        #expect(!left.contains("kid-of-an-attacker"))
    }

    @Test func `an outage is logged ten times a second, however many it refuses`() async throws {
        let bench = try ExchangeBench()
        bench.store.fail(with: StoreFailure(.unavailable, "record", cause: "disk full"))
        for _ in 0..<100 { _ = await bench.refusal(try bench.request(bench.token())) }
        #expect(bench.log.lines.filter { $0.contains("exchange unavailable") }.count == 10)
        bench.clock.advance(by: .seconds(1))
        _ = await bench.refusal(try bench.request(bench.token()))
        #expect(bench.log.lines.last?.contains("omitted=90") == true)
    }

    @Test func `what anybody can send is logged ten times a second, and the rest is counted`() async throws {
        let bench = try ExchangeBench()
        for _ in 0..<1000 { _ = await bench.refusal(try bench.request("garbage")) }
        #expect(bench.log.lines.count == 10)
        bench.clock.advance(by: .milliseconds(999))
        _ = await bench.refusal(try bench.request("garbage"))
        #expect(bench.log.lines.count == 10)
        bench.clock.advance(by: .milliseconds(1))
        _ = await bench.refusal(try bench.request("garbage"))
        _ = await bench.refusal(try bench.request("garbage"))
        #expect(bench.log.lines.count == 12)
        #expect(bench.log.lines[10].contains("omitted=991"))
        #expect(bench.log.lines[11].contains("omitted=0"))
    }

    @Test func `garbage does not keep recorded refusals out of the log`() async throws {
        let bench = try ExchangeBench()
        for _ in 0..<100 { _ = await bench.refusal(try bench.request("garbage")) }
        let request = try bench.request(bench.token(["ref": "refs/heads/dev"]))
        _ = await bench.refusal(request)
        let line = try #require(bench.log.lines.last)
        #expect(line.contains("exchange refused"))
        #expect(line.contains("trace=\(request.trace)"))
        #expect(line.contains("reason=no_rule"))
    }

    @Test func `a log line names the trace and the exact reason, a caller learns neither`() async throws {
        let bench = try ExchangeBench()
        let request = try bench.request(
            bench.issuer.token(bench.issuer.claims(at: Fixture.now), header: ["typ": "wit+jwt"]))
        let refusal = try #require(await bench.refusal(request))
        #expect(bench.log.lines[0].contains("reason=type"))
        #expect(bench.log.lines[0].contains("trace=\(request.trace)"))
        #expect(String(reflecting: refusal).hasSuffix("subjectToken"))
    }

    @Test func `a large claim set makes a record of bounded size`() async throws {
        let bench = try ExchangeBench(keptClaims: .all)
        let groups = JSONValue.array((0..<900).map { .string(ExactString("group\($0)")) })
        _ = await bench.refusal(try bench.request(bench.token(["ref": groups, "sub": "bob"])))
        #expect(bench.store.events.count == 1)
        #expect(bench.store.events[0].details.encoded().count < 32 * 1024)
    }
}

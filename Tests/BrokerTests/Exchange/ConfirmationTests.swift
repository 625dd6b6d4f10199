import Broker
import BrokerTesting
import FoundationEssentials
import JOSE
import SPIFFE
import Testing

/// Tokens of issuers that say by what their holder is known: exchanged by anybody else they would become tokens that anybody
/// can use.
@Suite struct `A subject token with a confirmation` {
    private let (bench, peer): (SVIDBench, PeerIdentity)

    init() throws {
        bench = try SVIDBench()
        peer = try bench.domain.peer()
    }

    /// A JWT-SVID and an OIDC token with this `cnf`.
    private func tokens(_ confirmation: JSONValue) throws -> [String] {
        let claims = bench.issuer.claims(at: bench.clock.now)
        return [
            try bench.domain.token(at: bench.clock.now, ["cnf": confirmation]),
            try bench.issuer.token(claims.merging(["cnf": confirmation])),
        ]
    }

    @Test func `by a certificate is good with that one alone`() async throws {
        for token in try tokens(["x5t#S256": .string(peer.fingerprint.thumbprint)]) {
            #expect(try await bench.refusal(token) == "subjectToken: certificate")
            let other = try bench.domain.peer()
            #expect(try await bench.refusal(token, with: .connection(other)) == "subjectToken: certificate")
            #expect(try await bench.refusal(token, with: .connection(peer)) == nil)
            let proxy = try bench.other.peer("/proxy")
            #expect(try await bench.refusal(token, with: .forwarded(peer.fingerprint, by: proxy)) == nil)
        }
    }

    @Test func `by a certificate that has expired is good for nobody`() async throws {
        let short = try bench.domain.peer(edit: { template in
            var template = template
            template.notAfter = ManualClock().now.addingTimeInterval(60)
            return template
        })
        let tokens = try tokens(["x5t#S256": .string(short.fingerprint.thumbprint)])
        bench.clock.advance(by: .seconds(61))
        for token in tokens {
            #expect(try await bench.refusal(token, with: .connection(short)) == "subjectToken: certificate")
        }
    }

    @Test func `that cannot be checked is good for nobody`() async throws {
        let thumbprint = JSONValue.string(peer.fingerprint.thumbprint)
        let confirmations: [JSONValue] = [
            ["jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"], ["x5t#S256": thumbprint, "jkt": "a"], [:],
            ["x5t#s256": thumbprint], ["x5t#S256": [thumbprint]], .null, thumbprint, ["x5t#S256": "AAAA"],
        ]
        for confirmation in confirmations {
            for token in try tokens(confirmation) {
                #expect(
                    try await bench.refusal(token, with: .connection(peer)) == "subjectToken: certificate",
                    "\(confirmation)")
            }
        }
    }

    @Test func `counts for an actor as well`() async throws {
        let subject = try bench.issuer.token(bench.issuer.claims(at: bench.clock.now))
        for actor in try tokens(["x5t#S256": .string(peer.fingerprint.thumbprint)]) {
            let stolen = try bench.request(.proof(SecretText(subject)), actor: actor)
            #expect(try await bench.refusal(stolen) == "subjectToken: actor")
            let own = try bench.request(.proof(SecretText(subject)), with: .connection(peer), actor: actor)
            #expect(try await bench.refusal(own) == nil)
        }
    }
}

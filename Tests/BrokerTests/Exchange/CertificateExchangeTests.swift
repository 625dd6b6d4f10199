import Broker
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `An exchange of an X.509-SVID` {
    @Test func `gives a token whose subject is the SPIFFE ID itself, in a session of its trust domain`() async throws {
        let bench = try SVIDBench()
        let response = try await bench.opened(bench.domain.peer())
        let claims = try bench.payload(response)
        #expect(claims["sub"]?.string == "spiffe://prod.example.com/ns/ml/sa/scorer")
        #expect(claims["rule"] == "ml" && claims["cnf"] == nil)
        let session = try #require(try await bench.store.session(response.sessionID))
        #expect(session.issuer.text == "spiffe://prod.example.com" && session.subject == claims["sub"]?.string)
        #expect(bench.store.events.map(\.issuer?.text) == ["spiffe://prod.example.com"])
        #expect(try await bench.refusal(renewing: response) == nil)
    }

    @Test(arguments: ["/ns/ml/sa", "/ns/ml/sa/a/b", "/ns/other/sa/scorer", "/NS/ml/sa/scorer", "/ns/ml/sa-scorer"])
    func `of which no pattern spans the id is refused on the record`(path: String) async throws {
        let bench = try SVIDBench()
        #expect(try await bench.refusal(bench.domain.peer(path)) == "subjectToken: no_rule")
    }

    @Test func `of another trust domain matches no rule of this one, whatever its path`() async throws {
        let bench = try SVIDBench()
        #expect(try await bench.refusal(bench.other.peer()) == "subjectToken: no_rule")
    }

    @Test func `stops working when the certificate expires, while the connection is open`() async throws {
        let bench = try SVIDBench()
        let peer = try bench.domain.peer()
        #expect(try await bench.refusal(peer) == nil)
        bench.clock.advance(by: .seconds(3601))
        #expect(try await bench.refusal(peer) == "client: expired")
    }

    @Test func `goes on while a bundle gains an authority, and stops when it loses the one that signed`() async throws {
        let bench = try SVIDBench()
        let (peer, domain) = (try bench.domain.peer(), bench.domain)
        let next = try TestCA("next", id: "spiffe://prod.example.com")
        #expect(bench.bundles.replace(with: try domain.bundle(authorities: [domain.ca, next], signers: [])))
        for _ in 0..<3 { #expect(try await bench.refusal(peer) == nil) }
        bench.bundles.replace(with: try domain.bundle(authorities: [next], signers: []))
        for _ in 0..<3 { #expect(try await bench.refusal(peer) == "client: certificate") }
        bench.bundles.replace(with: try domain.bundle)
        #expect(try await bench.refusal(peer) == nil)
    }

    @Test func `stops at an empty bundle`() async throws {
        let bench = try SVIDBench()
        let peer = try bench.domain.peer()
        bench.bundles.replace(with: try bench.domain.bundle(authorities: [], signers: []))
        #expect(try await bench.refusal(peer) == "client: certificate")
    }

    @Test func `of a trust domain that is not configured any more is refused, on the record of that domain`()
        async throws
    {
        let stranger = try TestTrustDomain("gone.example.com")
        let bench = try SVIDBench()
        #expect(try await bench.refusal(stranger.peer()) == "client: issuer")
        #expect(bench.store.events.last?.subject == "spiffe://gone.example.com/ns/ml/sa/scorer")
    }

    @Test func `has its certificate on the record, granted or refused, bound or not`() async throws {
        let bench = try SVIDBench()
        let (peer, thief) = (try bench.domain.peer(), try bench.other.peer("/thief"))
        _ = try await bench.opened(peer)
        _ = try await bench.refusal(thief)
        let proxy = try bench.other.peer("/proxy")
        let token = try bench.domain.token(at: bench.clock.now)
        _ = try await bench.opened(token, with: .forwarded(peer.fingerprint, by: proxy))
        _ = try await bench.opened(token)
        #expect(
            bench.store.events.map { $0.details["certificate"] } == [
                ["x5t#S256": .string(peer.fingerprint.thumbprint), "spiffe_id": .string(peer.id.text)],
                ["x5t#S256": .string(thief.fingerprint.thumbprint), "spiffe_id": .string(thief.id.text)],
                ["x5t#S256": .string(peer.fingerprint.thumbprint), "forwarded_by": .string(proxy.id.text)], nil,
            ])
    }

    @Test func `may be repeated: each opens a session`() async throws {
        let bench = try SVIDBench(replay: .once)
        let peer = try bench.domain.peer()
        let sessions = [try await bench.opened(peer).sessionID, try await bench.opened(peer).sessionID]
        #expect(Set(sessions).count == 2)
    }

    @Test func `renews under a pattern also where the id is too long to be kept whole among the claims`() async throws {
        let bench = try SVIDBench()
        let response = try await bench.opened(
            bench.domain.peer("/ns/ml/sa/" + String(repeating: "a", count: 1500)))
        #expect(try await bench.refusal(renewing: response) == nil)
    }
}

@Suite struct `A token that is bound to a certificate` {
    @Test func `names it in cnf, and the record does`() async throws {
        let bench = try SVIDBench(bound: true)
        let peer = try bench.domain.peer()
        let response = try await bench.opened(peer)
        #expect(try bench.payload(response)["cnf"] == ["x5t#S256": .string(peer.fingerprint.thumbprint)])
        #expect(try await bench.store.session(response.sessionID)?.binding == peer.fingerprint)
        #expect(bench.store.events[0].details["x5t#S256"]?.string == peer.fingerprint.thumbprint)
    }

    @Test func `is refused by the verifier without it and with any other`() async throws {
        let bench = try SVIDBench(bound: true)
        let peer = try bench.domain.peer()
        let response = try await bench.opened(peer)
        func verdict(_ certificate: CertificateFingerprint?, scope: String = "a:read") throws -> Verdict {
            bench.verifier.verdict(
                for: response.accessToken, requiring: Requirement(scopes: try Fixture.scopes([scope])),
                presentedBy: certificate, at: bench.clock.now)
        }
        #expect(try verdict(peer.fingerprint).isAllowed)
        #expect(try verdict(nil).denial == .token(.certificate))
        for other in [try bench.domain.peer(), try bench.other.peer()] {
            #expect(try verdict(other.fingerprint).denial == .token(.certificate))
        }
        // What is wrong with the token comes before what is wrong with its scope: 401, not 403.
        #expect(try verdict(nil, scope: "b").denial == .token(.certificate))
        let failure = #expect(throws: UnacceptableGatewayToken.self) {
            try bench.verifier.claims(of: response.accessToken, presentedBy: nil, at: bench.clock.now)
        }
        #expect(failure?.fault == .certificate)
    }

    @Test func `is renewed and narrowed with it alone, and stays bound`() async throws {
        let bench = try SVIDBench(bound: true)
        let peer = try bench.domain.peer()
        let response = try await bench.opened(peer)
        for scope in [nil, ["a:read"]] {
            let stolen = try await bench.refusal(renewing: response, scope: scope)
            #expect(stolen == "subjectToken: certificate")
            let another = try await bench.refusal(
                renewing: response, with: .connection(try bench.domain.peer()), scope: scope)
            #expect(another == "subjectToken: certificate")
            #expect(bench.store.events.last?.details["certificate"]?.object?["spiffe_id"]?.string == peer.id.text)
            let request = try bench.request(
                .gatewayToken(response.accessToken), with: .connection(peer), scope: scope)
            let next = try await bench.exchange.exchange(request)
            #expect(try bench.payload(next)["cnf"] == ["x5t#S256": .string(peer.fingerprint.thumbprint)])
        }
    }

    @Test func `is not renewed with a certificate that has expired or lost its authority`() async throws {
        let bench = try SVIDBench(bound: true)
        let peer = try bench.domain.peer(edit: { template in
            var template = template
            template.notAfter = ManualClock().now.addingTimeInterval(60)
            return template
        })
        let response = try await bench.opened(peer)
        bench.clock.advance(by: .seconds(61))
        #expect(try await bench.refusal(renewing: response, with: .connection(peer)) == "subjectToken: certificate")
    }

    @Test func `may be renewed where a trusted proxy forwards the certificate and its own is good`() async throws {
        let bench = try SVIDBench(bound: true)
        let (peer, proxy) = (try bench.domain.peer(), try bench.other.peer("/proxy"))
        let response = try await bench.opened(peer)
        let forwarded = PresentedCertificate.forwarded(peer.fingerprint, by: proxy)
        #expect(try await bench.refusal(renewing: response, with: forwarded) == nil)
        bench.bundles.replace(with: try bench.other.bundle(authorities: [], signers: []))
        #expect(try await bench.refusal(renewing: response, with: forwarded) == "subjectToken: certificate")
    }

    @Test func `is granted to a JWT of either kind only over a connection with a certificate`() async throws {
        let bench = try SVIDBench(bound: true)
        let peer = try bench.domain.peer()
        let tokens = [
            try bench.domain.token(at: bench.clock.now),
            try bench.issuer.token(bench.issuer.claims(at: bench.clock.now)),
        ]
        for token in tokens {
            #expect(try await bench.refusal(token) == "certificate: certificate")
            #expect(bench.store.events.last?.rule == (token == tokens[0] ? "ml" : "corp"))
            let response = try await bench.opened(token, with: .connection(peer))
            #expect(try bench.payload(response)["cnf"] != nil)
            // The same proof with another certificate opens a session of its own.
            let second = try await bench.opened(token, with: .connection(try bench.domain.peer()))
            #expect(second.sessionID != response.sessionID)
            let again = try await bench.opened(token, with: .connection(peer))
            #expect(again.sessionID == response.sessionID)
        }
    }
}

import Broker
import BrokerHTTP
import BrokerTesting
import FoundationEssentials
import JOSE
import OpenSSL
import SPIFFE
import Synchronization
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `A bundle endpoint that has to prove a SPIFFE ID` {
    private let domain: TestTrustDomain
    private let other: TestTrustDomain

    init() throws {
        domain = try TestTrustDomain()
        other = try TestTrustDomain("other.example.com")
    }

    private var bundles: TrustBundleSet {
        get throws { try TrustBundleSet([domain.bundle, other.bundle]) }
    }

    @Test func `is asked once, by a plain request, and without its host's name in the certificate`() async throws {
        let endpoint = try SVIDEndpoint(of: domain.ca)
        let names = NamesAskedFor()
        let tls = try endpoint.serverContext(serverNames: names)
        try await LoopbackServer.run(
            tls: tls, answer: { _, _ in .document("{}", headers: ["Cache-Control: max-age=7"]) }
        ) { server in
            let fetching = BundleFetching(try bundles, resolver: StubResolver(["a.example": [["127.0.0.1"]]]))
            let document = try await fetching.fetch("https://a.example:\(server.port)/bundle?x=%2F")
            #expect(document.body == Array("{}".utf8))
            #expect(document.maximumAge == .seconds(7))
            _ = try await fetching.fetch(server.secureOrigin)
            #expect(
                server.tally.requests[0] == """
                    GET /bundle?x=%2F HTTP/1.1\r
                    Host: a.example:\(server.port)\r
                    User-Agent: daypass\r
                    Accept: application/json\r
                    Connection: close\r
                    \r\n
                    """)
            #expect(names.all.withLock { $0 } == ["a.example", nil])
            #expect(server.tally.connections == 2)
            await server.untilClosed()
        }
    }

    @Test func `may have intermediates, and be of another trust domain than the bundle that it serves`() async throws {
        let intermediate = try other.ca.intermediate()
        let id = "spiffe://other.example.com/endpoint"
        let endpoint = try SVIDEndpoint(id, of: other.ca, intermediates: [intermediate])
        try await LoopbackServer.run(tls: endpoint.serverContext(), answer: { _, _ in .document("{}") }) { server in
            let fetching = BundleFetching(try bundles)
            #expect(try await fetching.fetch(server.secureOrigin, from: id).body == Array("{}".utf8))
        }
    }

    struct Impostor: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let reason: String
        let endpoint: @Sendable (TestTrustDomain, TestTrustDomain) throws -> SVIDEndpoint
    }

    static let impostors = [
        Impostor(
            testDescription: "the right ID from another trusted domain's authority",
            reason: "the path has a signature that is not valid"
        ) { try SVIDEndpoint(of: $1.ca) },
        Impostor(
            testDescription: "the same with that authority sent along",
            reason: "the path has a signature that is not valid"
        ) { try SVIDEndpoint(of: $1.ca, intermediates: [$1.ca]) },
        Impostor(
            testDescription: "the right ID from an authority of nobody's",
            reason: "the path ends at no root of the trust domain"
        ) { _, _ in try SVIDEndpoint(of: TestCA("nobody's", id: "spiffe://prod.example.com")) },
        Impostor(testDescription: "a host name in the place of an ID", reason: "it has no URI") { domain, _ in
            try SVIDEndpoint(of: domain.ca) { $0.with(.names([.dns("a.example")])) }
        },
        Impostor(
            testDescription: "another workload of the domain",
            reason: "is spiffe://prod.example.com/bundle-endpoin and not spiffe://prod.example.com/bundle-endpoint"
        ) { domain, _ in try SVIDEndpoint("spiffe://prod.example.com/bundle-endpoin", of: domain.ca) },
        Impostor(testDescription: "a path below", reason: "is spiffe://prod.example.com/bundle-endpoint/x and not") {
            domain, _ in try SVIDEndpoint(SVIDEndpoint.id + "/x", of: domain.ca)
        },
        Impostor(testDescription: "another case", reason: "is spiffe://prod.example.com/Bundle-Endpoint and not") {
            domain, _ in try SVIDEndpoint("spiffe://prod.example.com/Bundle-Endpoint", of: domain.ca)
        },
        Impostor(testDescription: "a trust domain in upper case", reason: "its trust domain has a character") {
            domain, _ in try SVIDEndpoint("spiffe://PROD.example.com/bundle-endpoint", of: domain.ca)
        },
        Impostor(testDescription: "the same path in another domain", reason: "is spiffe://other.example.com/") {
            try SVIDEndpoint("spiffe://other.example.com/bundle-endpoint", of: $1.ca)
        },
        Impostor(testDescription: "a domain that is not configured", reason: "its trust domain is not configured") {
            _, _ in
            let third = try TestTrustDomain("third.example.com")
            return try SVIDEndpoint("spiffe://third.example.com/bundle-endpoint", of: third.ca)
        },
        Impostor(testDescription: "the domain itself", reason: "names a trust domain and not a workload") { domain, _ in
            try SVIDEndpoint("spiffe://prod.example.com", of: domain.ca)
        },
        Impostor(testDescription: "two IDs", reason: "it has 2 URIs") { domain, _ in
            try SVIDEndpoint(of: domain.ca) {
                $0.with(.names([.uri(SVIDEndpoint.id), .uri("spiffe://prod.example.com/other")]))
            }
        },
        Impostor(testDescription: "clients only", reason: "does not allow server authentication") { domain, _ in
            try SVIDEndpoint(of: domain.ca) { $0.with(.extendedKeyUsage([.client])) }
        },
        Impostor(testDescription: "any purpose but no server", reason: "does not allow server authentication") {
            domain, _ in try SVIDEndpoint(of: domain.ca) { $0.with(.extendedKeyUsage([.client], any: true)) }
        },
        Impostor(testDescription: "an authority", reason: "it is a certificate authority") { domain, _ in
            try SVIDEndpoint(of: domain.ca) { $0.with(.basicConstraints(isAuthority: true)) }
        },
        Impostor(testDescription: "its own authority", reason: "the path ends at no root of the trust domain") { _, _ in
            let key = try PrivateKey.generate(.ellipticCurve(.p256))
            let template = CertificateTemplate(
                workload: SVIDEndpoint.id, publicKey: TestCA.publicKeyInfo(key.publicKey))
            return SVIDEndpoint(chain: [try template.signed(by: key, named: "workload")], key: key)
        },
        Impostor(testDescription: "nine certificates", reason: "more than 8 certificates") { domain, _ in
            var endpoint = try SVIDEndpoint(of: domain.ca)
            endpoint.chain += (1...8).map { _ in domain.ca.certificate }
            return endpoint
        },
    ]

    @Test(arguments: impostors) func `is not asked where it is`(impostor: Impostor) async throws {
        let endpoint = try impostor.endpoint(domain, other)
        try await LoopbackServer.run(tls: endpoint.serverContext(), answer: { _, _ in .document("{}") }) { server in
            let failure = try await BundleFetching(bundles).refusal(of: server.secureOrigin)
            #expect(failure?.description.contains(impostor.reason) == true, "\(failure as Any)")
            await server.untilClosed()
            #expect(server.tally.requests.isEmpty)
        }
    }

    @Test func `is one whose certificate is valid by our clock, not to the second of its end`() async throws {
        let endpoint = try SVIDEndpoint(of: domain.ca)
        let fetching = BundleFetching(try bundles)
        let start = fetching.clock.now
        try await LoopbackServer.run(tls: endpoint.serverContext(), answer: { _, _ in .document("{}") }) { server in
            for (seconds, reason) in [
                (-3601, "the path is not valid yet"), (-3600, nil), (0, nil), (3599, nil),
                (3600, "the path has expired"),
            ] as [(Double, String?)] {
                fetching.clock.now = start.addingTimeInterval(seconds)
                let failure = try await fetching.refusal(of: server.secureOrigin)
                if let reason {
                    #expect(failure?.description.contains(reason) == true, "\(failure as Any)")
                } else {
                    #expect(failure == nil)
                }
            }
        }
    }

    @Test func `is judged by the newest bundle at each connection`() async throws {
        let next = try TestCA("next", id: "spiffe://prod.example.com")
        let (old, new) = (try SVIDEndpoint(of: domain.ca), try SVIDEndpoint(of: next))
        let fetching = BundleFetching(try bundles)
        func isAccepted(_ endpoint: SVIDEndpoint) async throws -> Bool {
            try await LoopbackServer.run(tls: endpoint.serverContext(), answer: { _, _ in .document("{}") }) { server in
                // Twice, so that a session could be resumed.
                let failures = [
                    try await fetching.refusal(of: server.secureOrigin),
                    try await fetching.refusal(of: server.secureOrigin),
                ]
                #expect((failures[0] == nil) == (failures[1] == nil))
                return failures[1] == nil
            }
        }
        #expect(try await isAccepted(old))
        #expect(try await !isAccepted(new))
        let rotated = try domain.bundle(authorities: [next], signers: [domain.signer])
        fetching.bundles.value = fetching.bundles.value.replacing(rotated)
        #expect(try await !isAccepted(old))
        #expect(try await isAccepted(new))
    }

    @Test func `is refused by the same server, at the same port, once its authority is gone`() async throws {
        let endpoint = try SVIDEndpoint(of: domain.ca)
        let fetching = BundleFetching(try bundles)
        try await LoopbackServer.run(tls: endpoint.serverContext(), answer: { _, _ in .document("{}") }) { server in
            #expect(try await fetching.refusal(of: server.secureOrigin) == nil)
            let url = try OutboundURL(parsing: server.secureOrigin)
            let id = try SPIFFEID(parsing: Array(SVIDEndpoint.id.utf8))
            let empty = try domain.bundle(authorities: [], signers: [domain.signer])
            fetching.bundles.value = fetching.bundles.value.replacing(empty)
            #expect(try await fetching.refusal(of: server.secureOrigin) == .identity(url, .noAuthorities(id)))
            fetching.bundles.value = fetching.bundles.value.removing(domain.name)
            #expect(try await fetching.refusal(of: server.secureOrigin) == .identity(url, .unknownTrustDomain(id)))
            #expect(server.tally.requests.count == 1)
        }
    }

    @Test func `may be at another address where the first is somebody else`() async throws {
        let (impostor, endpoint) = (try SVIDEndpoint(of: other.ca), try SVIDEndpoint(of: domain.ca))
        try await LoopbackServer.run(tls: endpoint.serverContext(), answer: { _, _ in .document("{}") }) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.9", "127.0.0.1"]]])
            let fetching = BundleFetching(try bundles, resolver: resolver)
            _ = try await fetching.fetch("https://a.example:\(server.port)/")
            #expect(resolver.calls == ["a.example"])
        }
        try await LoopbackServer.run(tls: impostor.serverContext(), answer: { _, _ in .document("{}") }) { server in
            let addresses = [["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"]]
            let fetching = BundleFetching(try bundles, resolver: StubResolver(["a.example": addresses]))
            let failure = try await fetching.refusal(of: "https://a.example:\(server.port)/")
            #expect(failure?.description.contains("a signature that is not valid") == true)
            #expect(server.tally.connections == 4)
            #expect(server.tally.requests.isEmpty)
        }
    }

    @Test func `is not asked for over plain http, nor at a private address unless that is allowed`() async throws {
        let endpoint = try SVIDEndpoint(of: domain.ca)
        try await LoopbackServer.run(tls: endpoint.serverContext(), answer: { _, _ in .document("{}") }) { server in
            let fetching = BundleFetching(try bundles)
            let plain = try OutboundURL(parsing: server.origin)
            await #expect(throws: FetchFailure.notHTTPS(plain)) { try await fetching.fetch(server.origin) }
            let url = try OutboundURL(parsing: server.secureOrigin)
            let loopback = try #require(IPAddress(parsing: "127.0.0.1"))
            await #expect(throws: FetchFailure.privateAddress(url, loopback)) {
                try await fetching.fetch(server.secureOrigin, allowsPrivateAddresses: false)
            }
            #expect(server.tally.connections == 0)
        }
    }
}

import Broker
import BrokerTesting
import Foundation
import HTTPTypes
import Hummingbird
import JOSE
import Logging
import NIOCore
import NIOEmbedded
import SPIFFE
import Synchronization
import Testing

@testable import BrokerHTTP

/// The public routes over a connection whose handshake proved somebody, or nobody.
private struct CertificateBench: Sendable {
    let domain: TestTrustDomain
    let clock = ManualClock()
    let bundles: TrustBundles
    let store = MemoryStore()
    let routes: PublicRoutes

    private static let domain = Result { try TestTrustDomain() }

    /// Whoever may forward certificates in that header.
    static func forwarding(
        _ header: ListenerTLS.CertificateHeader, from id: String = "spiffe://prod.example.com/gateway"
    ) -> ListenerTLS.CertificateForwarding? {
        (try? Glob(parsing: id)).map { ListenerTLS.CertificateForwarding(header: header, proxies: [$0]) }
    }

    init(
        trustedProxies: [String] = ["10.0.0.0/8"],
        tls: ListenerTLS? = ListenerTLS(
            certificateFile: "/nonexistent", keyFile: "/nonexistent",
            forwardedCertificates: CertificateBench.forwarding(.forwardedClientCert))
    ) throws {
        domain = try Self.domain.get()
        let clock = clock
        let trusted = [try domain.configuration()]
        let bundles = TrustBundles(trusted, clock: clock)
        self.bundles = bundles
        let certificates = X509SVIDAuthenticator { bundles.current }
        let scope = try #require(Scope(parsing: "a:read"))
        let terms = try #require(
            GrantTerms(
                scope: [scope], timeToLive: .seconds(900), maximumSession: .seconds(3600),
                audiences: ["https://gateway.example.com"], bindsCertificate: true))
        let claim = try #require(ClaimPath(parsing: "spiffe_id"))
        let glob = try Glob(parsing: "spiffe://\(domain.name)/ns/**")
        let rule = try #require(
            Rule(
                name: "ml", issuer: IssuerName(domain.name),
                matchers: [ClaimMatcher(claim: claim, anyOf: [.text(glob)])], terms: terms))
        let own = try #require(
            GrantTerms(
                scope: [.introspect], timeToLive: .seconds(900), audiences: ["https://daypass.example.com"]))
        let gateway = ClaimMatcher(
            claim: claim, anyOf: [.text(try Glob(parsing: "spiffe://\(domain.name)/gateway"))])
        let gateways = try #require(
            Rule(name: "gateways", issuer: IssuerName(domain.name), matchers: [gateway], terms: own))
        let tokens = TokenConfiguration(
            issuer: "https://daypass.example.com", audiences: ["https://gateway.example.com"])
        let server = ServerConfiguration(
            publicListener: ListenAddress(host: "127.0.0.1", port: 0), publicTLS: tls,
            publicURL: "https://daypass.example.com", telemetryListener: ListenAddress(host: "127.0.0.1", port: 0),
            trustedProxies: try trustedProxies.map { try AddressBlock(parsing: $0) })
        let configuration = BrokerConfiguration(
            server: server, tokens: tokens, verify: VerifyConfiguration(), store: .sqlite(path: "/nonexistent"),
            audit: AuditConfiguration(), masterKeyFile: "/nonexistent", issuers: [], trustDomains: trusted,
            rules: try RuleSet([rule, gateways], issuers: [], trustDomains: [domain.name], broker: tokens.issuer))
        let (masterKey, _) = try MasterKey.generate()
        let records = try [SigningKeyRecord.State.active, .staged].map {
            try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: clock.now)
        }
        let ring = try KeyRing(opening: records, with: masterKey)
        let state = StateHolder(BrokerState(keyRing: ring))
        let verifier = TokenVerifier(
            tokens: tokens, policy: VerifyConfiguration(), state: state)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let exchange = TokenExchange(
            authenticator: JWTAuthenticator([], svids: JWTSVIDAuthenticator(trusted) { bundles.current }),
            certificates: certificates, rules: configuration.rules,
            mint: TokenMint(issuer: tokens.issuer, state: { state.current }, random: SystemRandom()),
            verifier: verifier,
            store: store, keptClaims: .matched, clock: clock, logger: logger)
        let metrics = BrokerMetrics(configuration, issuers: [], trustBundles: bundles)
        let refusals = LimitRefusals(metrics: metrics.requests, clock: clock, logger: logger)
        let presented = PresentedCertificates(
            proxies: TrustedProxies(server.trustedProxies), forwarding: tls?.forwardedCertificates,
            certificates: certificates,
            clock: clock)
        let revocations = Revocations(store, publishedIn: state, clock: clock, logger: logger)
        let access = RouteAccess(
            access: BrokerAccess(
                verifier: verifier, certificates: certificates, rules: { configuration.rules },
                state: { state.current }, clock: clock),
            certificates: presented)
        let token = TokenRoute(
            exchange: { exchange }, limits: ExchangeLimits(server, clock: clock, refusals: refusals),
            certificates: presented)
        routes = PublicRoutes(
            token: token, federation: FederationRoute(token: token),
            keys: KeyRoutes(
                configuration: configuration,
                takesCertificates: { configuration.requestsClientCertificates },
                state: { BrokerState(keyRing: ring) }),
            verify: VerifyRoute(
                endpoint: VerifyEndpoint(
                    verifier: verifier, proxies: TrustedProxies(server.trustedProxies), clock: clock,
                    metrics: metrics.verify, recent: RecentRefusals()),
                certificates: presented),
            revocation: RevocationRoutes(
                token: token,
                revocation: TokenRevocation(
                    verifier: verifier, certificates: certificates, revocations: revocations, clock: clock),
                introspection: TokenIntrospection(verifier: verifier, issuer: tokens.issuer, clock: clock),
                access: access, signIn: nil),
            feed: RevocationFeed(revocations: revocations, access: access), signIn: nil)
    }

    /// - Parameter address: of whoever is at the other end of the connection.
    func send(
        _ method: HTTPRequest.Method, _ path: String, _ headers: HTTPFields = [:], form: String = "",
        from peer: PeerIdentity?, at address: String = "192.0.2.1"
    ) async throws -> (status: Int, json: JSONObject, headers: HTTPFields) {
        let channel = EmbeddedChannel()
        try await channel.connect(to: try SocketAddress(ipAddress: address, port: 4711)).get()
        var context = BrokerRequestContext(
            source: ApplicationRequestContextSource(channel: channel, logger: Logger(label: "test")))
        context.peerIdentity = peer
        var head = HTTPRequest(method: method, scheme: "https", authority: "daypass.example.com", path: path)
        head.headerFields = headers
        if !form.isEmpty { head.headerFields[.contentType] = "application/x-www-form-urlencoded" }
        let request = Request(head: head, body: RequestBody(buffer: ByteBuffer(string: form)))
        let response = try await routes.respond(to: request, context: context)
        let bytes = CollectedBytes()
        try await response.body.write(CollectedBody(bytes: bytes))
        let body = bytes.all
        let json = body.isEmpty ? [:] : try JSONReader.readObject(body)
        return (Int(response.status.code), json, response.headers)
    }

    /// A token for the connection's own identity.
    func token(_ peer: PeerIdentity) async throws -> String {
        let answer = try await send(.post, "/oauth/token", form: "grant_type=client_credentials", from: peer)
        return try #require(answer.json["access_token"]?.string?.string, "\(answer)")
    }

    func verify(
        _ token: String, from peer: PeerIdentity?, at address: String = "192.0.2.1", _ more: HTTPFields = [:]
    ) async throws -> Int {
        var headers = more
        headers[.authorization] = "Bearer \(token)"
        headers[.requireScope] = "a:read"
        return try await send(.get, "/verify", headers, from: peer, at: address).status
    }
}

private final class CollectedBytes: Sendable {
    private let bytes = Mutex<[UInt8]>([])

    var all: [UInt8] { bytes.withLock { $0 } }

    func append(_ buffer: ByteBuffer) {
        bytes.withLock { $0.append(contentsOf: Array(buffer.readableBytesView)) }
    }
}

private struct CollectedBody: ResponseBodyWriter {
    let bytes: CollectedBytes

    mutating func write(_ buffer: ByteBuffer) async throws {
        bytes.append(buffer)
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}

@Suite struct `Client credentials over mutual TLS` {
    @Test func `give the answer of RFC 6749, without an issued_token_type`() async throws {
        let bench = try CertificateBench()
        let answer = try await bench.send(
            .post, "/oauth/token", form: "grant_type=client_credentials&scope=a:read", from: bench.domain.peer())
        #expect(answer.status == 200)
        #expect(answer.json["token_type"] == "Bearer" && answer.json["scope"] == "a:read")
        #expect(answer.json["expires_in"] == 900 && answer.json["issued_token_type"] == nil)
        #expect(answer.headers[.cacheControl] == "no-store")
    }

    @Test func `name nobody else in client_id`() async throws {
        let bench = try CertificateBench()
        let peer = try bench.domain.peer()
        for (client, status) in [
            (peer.id.text.string, 200), ("daypass", 200), ("", 200),
            ("spiffe://\(bench.domain.name)/ns/ml/sa/other", 401),
            (peer.id.text.string + "/", 401), ("spiffe:", 401),
        ] {
            let answer = try await bench.send(
                .post, "/oauth/token", form: "grant_type=client_credentials&client_id=\(client)", from: peer)
            #expect(answer.status == status, "\(client)")
            #expect(answer.json["error"] == (status == 200 ? nil : "invalid_client"))
        }
    }

    @Test func `without a certificate are 401 invalid_client`() async throws {
        let bench = try CertificateBench()
        let answer = try await bench.send(.post, "/oauth/token", form: "grant_type=client_credentials", from: nil)
        #expect(answer.status == 401 && answer.json["error"] == "invalid_client")
        #expect(answer.headers[.wwwAuthenticate] != nil)
        #expect(bench.store.events.isEmpty)
    }

    @Test func `with a certificate that is trusted no more are 401 invalid_client, as is one that no rule grants`()
        async throws
    {
        let bench = try CertificateBench()
        let form = "grant_type=client_credentials"
        let stranger = try await bench.send(.post, "/oauth/token", form: form, from: bench.domain.peer("/other"))
        let peer = try bench.domain.peer()
        bench.bundles.replace(with: try bench.domain.bundle(authorities: [], signers: []))
        let distrusted = try await bench.send(.post, "/oauth/token", form: form, from: peer)
        for answer in [stranger, distrusted] {
            #expect(answer.status == 401 && answer.json["error"] == "invalid_client")
            let text = answer.json["error_description"]?.string?.string ?? ""
            #expect(text.hasPrefix("the client certificate is not acceptable, or no rule grants its subject anything"))
        }
    }

    @Test func `of a trusted proxy are nobody's, with and without what it forwards`() async throws {
        let bench = try CertificateBench()
        let client = try bench.domain.peer()
        let hash = client.fingerprint.bytes.map { String(format: "%02x", $0) }.joined()
        for headers: HTTPFields in [[:], [.forwardedClientCert: "Hash=\(hash)"], [.forwardedFor: "192.0.2.1"]] {
            let answer = try await bench.send(
                .post, "/oauth/token", headers, form: "grant_type=client_credentials", from: bench.domain.peer(),
                at: "10.1.2.3")
            #expect(answer.status == 401 && answer.json["error"] == "invalid_client")
        }
    }

    @Test func `are in the metadata, with the binding`() async throws {
        let answer = try await CertificateBench().send(.get, "/.well-known/oauth-authorization-server", from: nil)
        #expect(answer.json["grant_types_supported"]?.array?.contains("client_credentials") == true)
        #expect(answer.json["tls_client_certificate_bound_access_tokens"] == true)
        #expect(
            answer.json["token_endpoint_auth_methods_supported"] == ["none", "tls_client_auth", "spiffe_x509"])
    }

    @Test(arguments: [
        nil,
        ListenerTLS(certificateFile: "/nonexistent", keyFile: "/nonexistent", requestsClientCertificates: false),
    ])
    func `are not in the metadata of a listener that asks for none`(tls: ListenerTLS?) async throws {
        let answer = try await CertificateBench(tls: tls).send(
            .get, "/.well-known/oauth-authorization-server", from: nil)
        #expect(answer.json["grant_types_supported"]?.array?.contains("client_credentials") == false)
        #expect(answer.json["tls_client_certificate_bound_access_tokens"] == nil)
        #expect(answer.json["token_endpoint_auth_methods_supported"] == ["none"])
    }
}

@Suite struct `A connection whose certificate has expired` {
    @Test(arguments: ["/oauth/token", "/verify?scope=a:read", "/healthz"])
    func `ends with its next answer, so that its client comes again with a newer one`(path: String) async throws {
        let bench = try CertificateBench()
        let (peer, method) = (try bench.domain.peer(), path == "/oauth/token" ? HTTPRequest.Method.post : .get)
        for (passed, ending) in [(0, nil), (3599, nil), (1, "close"), (1, "close")] {
            bench.clock.advance(by: .seconds(passed))
            let answer = try await bench.send(
                method, path, form: method == .post ? "grant_type=client_credentials" : "", from: peer)
            #expect(answer.headers[.connection] == ending, "\(answer)")
            #expect(try await bench.send(method, path, from: nil).headers[.connection] == nil)
        }
    }

    @Test func `is another matter than one whose bundle trusts it no more: that may change`() async throws {
        let bench = try CertificateBench()
        let peer = try bench.domain.peer()
        bench.bundles.replace(with: try bench.domain.bundle(authorities: [], signers: []))
        let answer = try await bench.send(.post, "/oauth/token", form: "grant_type=client_credentials", from: peer)
        #expect(answer.status == 401 && answer.headers[.connection] == nil)
    }
}

@Suite struct `A bound token at /verify` {
    @Test func `is 200 with its certificate and 401 invalid_token with another or none`() async throws {
        let bench = try CertificateBench()
        let peer = try bench.domain.peer()
        let token = try await bench.token(peer)
        #expect(try await bench.verify(token, from: peer) == 200)
        #expect(try await bench.verify(token, from: nil) == 401)
        #expect(try await bench.verify(token, from: try bench.domain.peer()) == 401)
        let answer = try await bench.send(
            .get, "/verify", [.authorization: "Bearer \(token)", .requireScope: "b"], from: nil)
        #expect(answer.status == 401)
        #expect(answer.headers[.wwwAuthenticate] == #"Bearer error="invalid_token""#)
    }

    @Test func `is 401 once its certificate is distrusted`() async throws {
        let bench = try CertificateBench()
        let peer = try bench.domain.peer()
        let token = try await bench.token(peer)
        bench.bundles.replace(with: try bench.domain.bundle(authorities: [], signers: []))
        #expect(try await bench.verify(token, from: peer) == 401)
    }

    @Test func `takes a forwarded certificate only from a listed proxy that has a certificate itself`() async throws {
        let bench = try CertificateBench()
        let (peer, gateway) = (try bench.domain.peer(), try bench.domain.peer("/gateway"))
        let token = try await bench.token(peer)
        let hash = peer.fingerprint.bytes.map { String(format: "%02x", $0) }.joined()
        let forwarded: HTTPFields = [.forwardedClientCert: "By=spiffe://a/b;Hash=\(hash)"]
        #expect(try await bench.verify(token, from: gateway, at: "10.1.2.3", forwarded) == 200)
        // Not listed; listed but without a certificate; neither.
        #expect(try await bench.verify(token, from: gateway, at: "192.0.2.1", forwarded) == 401)
        #expect(try await bench.verify(token, from: nil, at: "10.1.2.3", forwarded) == 401)
        #expect(try await bench.verify(token, from: nil, at: "192.0.2.1", forwarded) == 401)
        // Listed, and forwarding nothing, or twice.
        #expect(try await bench.verify(token, from: gateway, at: "10.1.2.3") == 401)
        var twice = forwarded
        twice.append(HTTPField(name: .forwardedClientCert, value: "Hash=\(hash)"))
        #expect(try await bench.verify(token, from: gateway, at: "10.1.2.3", twice) == 401)
    }

    @Test(arguments: [ListenerTLS.CertificateHeader.clientCert, .forwardedClientCert, nil])
    func `takes a forwarded certificate only in the header that is configured, whatever the others say`(
        header: ListenerTLS.CertificateHeader?
    ) async throws {
        let tls = ListenerTLS(
            certificateFile: "/nonexistent", keyFile: "/nonexistent",
            forwardedCertificates: header.flatMap { CertificateBench.forwarding($0) })
        let bench = try CertificateBench(tls: tls)
        let chain = [try bench.domain.ca.workload(bench.domain.id("/ns/ml/sa/scorer").string)]
        let svid = try X509SVID.validate(
            chain, against: TrustBundleSet([bench.domain.bundle]), at: ManualClock().now)
        let gateway = try bench.domain.peer("/gateway")
        let token = try await bench.token(PeerIdentity(svid, chain: chain))
        let hash = svid.fingerprint.bytes.map { String(format: "%02x", $0) }.joined()
        let der = Data(chain[0]).base64EncodedString()
        let fields: KeyValuePairs<ListenerTLS.CertificateHeader, HTTPField> = [
            .clientCert: HTTPField(name: .clientCert, value: ":\(der):"),
            .forwardedClientCert: HTTPField(name: .forwardedClientCert, value: "Hash=\(hash)"),
        ]
        for (name, field) in fields {
            let status = try await bench.verify(token, from: gateway, at: "10.1.2.3", HTTPFields([field]))
            #expect(status == (name == header ? 200 : 401), "\(name)")
        }
        let both = try await bench.verify(token, from: gateway, at: "10.1.2.3", HTTPFields(fields.map(\.value)))
        #expect(both == (header == nil ? 401 : 200))
    }

    @Test func `takes none from another workload at a proxy's address`() async throws {
        let bench = try CertificateBench()
        let victim = try bench.domain.peer("/ns/ml/sa/victim")
        let token = try await bench.token(victim)
        let hash = victim.fingerprint.bytes.map { String(format: "%02x", $0) }.joined()
        let forwarded: HTTPFields = [.forwardedClientCert: "Hash=\(hash)"]
        #expect(try await bench.verify(token, from: bench.domain.peer("/gateway"), at: "10.1.2.3", forwarded) == 200)
        for path in ["/gateway2", "/ns/ml/sa/thief", "/gateway/x"] {
            #expect(try await bench.verify(token, from: bench.domain.peer(path), at: "10.1.2.3", forwarded) == 401)
        }
    }

    @Test func `that is the proxy's own is not good for its clients`() async throws {
        let bench = try CertificateBench()
        let gateway = try bench.domain.peer()
        let token = try await bench.token(gateway)
        #expect(try await bench.verify(token, from: gateway, at: "10.1.2.3") == 401)
        #expect(try await bench.verify(token, from: gateway) == 200)
    }

    @Test func `does not mind a forged header from whoever has the certificate`() async throws {
        let bench = try CertificateBench()
        let (peer, victim) = (try bench.domain.peer(), try bench.domain.peer("/ns/ml/sa/victim"))
        let token = try await bench.token(victim)
        let hash = victim.fingerprint.bytes.map { String(format: "%02x", $0) }.joined()
        #expect(try await bench.verify(token, from: peer, [.forwardedClientCert: "Hash=\(hash)"]) == 401)
    }
}

@Suite struct `Revoking and asking over mutual TLS` {
    @Test func `a bound token is given back by whoever has its certificate alone`() async throws {
        let bench = try CertificateBench()
        let (peer, other) = (try bench.domain.peer(), try bench.domain.peer())
        let token = try await bench.token(peer)
        for stranger in [nil, other] {
            let answer = try await bench.send(.post, "/oauth/revoke", form: "token=\(token)", from: stranger)
            #expect(answer.status == 200, "nobody learns whether it was")
            #expect(try await bench.verify(token, from: peer) == 200)
        }
        #expect(try await bench.send(.post, "/oauth/revoke", form: "token=\(token)", from: peer).status == 200)
        #expect(try await bench.verify(token, from: peer) == 401)
        #expect(bench.store.events.filter { $0.kind == .revoked }.count == 1)
    }

    @Test func `introspection takes the certificate that a rule grants it to, and no other`() async throws {
        let bench = try CertificateBench()
        let peer = try bench.domain.peer()
        let gateway = try bench.domain.peer("/gateway")
        let form = "token=\(try await bench.token(peer))"
        let answer = try await bench.send(.post, "/oauth/introspect", form: form, from: gateway)
        #expect(answer.status == 200 && answer.json["active"] == true)
        #expect(answer.json["cnf"]?.object?["x5t#S256"]?.string == peer.fingerprint.thumbprint)
        #expect(try await bench.send(.post, "/oauth/introspect", form: form, from: peer).status == 403)
        #expect(try await bench.send(.post, "/oauth/introspect", form: form, from: nil).status == 401)
        // A proxy's certificate is nobody's identity.
        let proxied = try await bench.send(.post, "/oauth/introspect", form: form, from: gateway, at: "10.0.0.1")
        #expect(proxied.status == 401)
        bench.bundles.replace(with: try bench.domain.bundle(authorities: [], signers: []))
        #expect(try await bench.send(.post, "/oauth/introspect", form: form, from: gateway).status == 401)
    }
}

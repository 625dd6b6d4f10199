import Broker
import BrokerHTTP
import Testing

/// Endpoints of the profile `https_web`, each a TLS server on loopback.
@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct WebBundleFetcherTests {
    private let resolver = StubResolver(["a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]])
    private let certificate: TestCertificate
    private let other: TestCertificate

    init() throws {
        certificate = try TestCertificate(name: "a.example")
        other = try TestCertificate(name: "b.example")
    }

    private func fetch(
        _ url: String, authorities: [UInt8]? = nil, allowsPrivate: Bool = true, timeLimit: Duration = .seconds(60)
    ) async throws -> [UInt8] {
        let endpoint = BundleEndpoint(
            url: url, profile: .web, authorities: authorities ?? certificate.pem + other.pem,
            allowsPrivateAddresses: allowsPrivate)
        return try await WebBundleFetcher(endpoint, resolver: resolver, timeLimit: timeLimit).fetch()
    }

    private func failure(_ body: () async throws -> [UInt8]) async -> String {
        let failure = await #expect(throws: BundleFetchFailure.self) { _ = try await body() }
        return failure?.description ?? "none"
    }

    @Test func `the document comes as it is served`() async throws {
        let text = #"{"keys": [], "é": 1}"#
        try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in .document(text) }) { server in
            let document = try await fetch("https://a.example:\(server.port)/bundle?x=1")
            #expect(document == Array(text.utf8))
            #expect(server.tally.requests.first?.hasPrefix("GET /bundle?x=1 HTTP/1.1\r\n") == true)
            // SPIFFE Federation §5.2.1.3: nobody has to say who they are.
            #expect(server.tally.requests.first?.lowercased().contains("authorization") == false)
        }
    }

    @Test func `a certificate of another name or another authority is refused before anything is asked`() async throws {
        try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in .document("{}") }) { server in
            let port = server.port
            let named = await failure { try await fetch("https://b.example:\(port)/") }
            #expect(named.contains("certificate is not of that host"))
            for authorities in [other.pem, nil] {
                let endpoint = BundleEndpoint(
                    url: "https://a.example:\(port)/", profile: .web, authorities: authorities,
                    allowsPrivateAddresses: true)
                let fetcher = try WebBundleFetcher(endpoint, resolver: resolver, timeLimit: .seconds(60))
                let reason = await failure { try await fetcher.fetch() }
                #expect(reason.contains("does not lead to a trusted authority"))
            }
            #expect(server.tally.requests.isEmpty)
        }
    }

    @Test
    func `a certificate of the address is none of a host that leads there, and is refused before anything is asked`()
        async throws
    {
        let addressed = try TestCertificate(address: [127, 0, 0, 1])
        try await LoopbackServer.run(tls: addressed.serverContext, answer: { _, _ in .document("{}") }) { server in
            let port = server.port
            let reason = await failure { try await fetch("https://a.example:\(port)/", authorities: addressed.pem) }
            #expect(reason.contains("certificate is not of that host"))
            #expect(server.tally.requests.isEmpty)
            let document = try await fetch("https://127.0.0.1:\(port)/", authorities: addressed.pem)
            #expect(document == Array("{}".utf8))
        }
    }

    @Test func `a private address is refused without allow_private`() async throws {
        try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in .document("{}") }) { server in
            let reason = await failure { try await fetch("https://a.example:\(server.port)/", allowsPrivate: false) }
            #expect(reason.contains("leads to 127.0.0.1, which is not a public address"))
            #expect(server.tally.connections == 0)
        }
    }

    @Test func `anything but https is refused, also with allow_private`() async {
        for url in ["http://127.0.0.1/", "http://a.example/", "https://u@a.example/", "https://a.example/#x"] {
            let reason = await failure { try await fetch(url) }
            #expect(reason.hasPrefix("the URL of the bundle endpoint"))
        }
    }

    @Test func `a redirect is followed anew each time`() async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            target == "/" ? .redirect(to: "https://a.example:\(port)/cdn/bundle") : .document("{}")
        }
        try await LoopbackServer.run(tls: certificate.serverContext, answer: answer) { server in
            for _ in 0..<2 { _ = try await fetch("https://a.example:\(server.port)/") }
            let targets = server.tally.requests.map { $0.split(separator: " ")[1] }
            #expect(targets == ["/", "/cdn/bundle", "/", "/cdn/bundle"])
        }
    }

    @Test(arguments: ["http://a.example:PORT/x", "https://u:p@a.example:PORT/x", "/x#y", "ftp://a.example/"])
    func `a redirect to what is no bundle endpoint's URL is refused`(location: String) async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            target == "/" ? .redirect(to: location.replacing("PORT", with: "\(port)")) : .document("{}")
        }
        try await LoopbackServer.run(tls: certificate.serverContext, answer: answer) { server in
            let reason = await failure { try await fetch("https://a.example:\(server.port)/") }
            #expect(reason.contains(" redirects to "))
            #expect(server.tally.connections == 1)
        }
    }

    @Test(arguments: ["b.example", "127.0.0.1", "169.254.169.254", "[::1]"])
    func `a redirect to another host's private address is refused, with allow_private too`(host: String) async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            target == "/" ? .redirect(to: "https://\(host):\(port)/x") : .document("{}")
        }
        try await LoopbackServer.run(tls: certificate.serverContext, answer: answer) { server in
            let reason = await failure { try await fetch("https://a.example:\(server.port)/") }
            #expect(reason.contains("which is not a public address"))
            #expect(server.tally.connections == 1)
        }
    }

    @Test func `a redirect to another host is followed as far as its address is looked up`() async throws {
        // No address of this machine is public, so that the way ends where the name has none.
        try await LoopbackServer.run(
            tls: certificate.serverContext, answer: { _, _ in .redirect(to: "https://cdn.example/x") }
        ) { server in
            let reason = await failure { try await fetch("https://a.example:\(server.port)/") }
            #expect(reason == "cdn.example cannot be resolved: Name or service not known")
            #expect(resolver.calls == ["a.example", "cdn.example"])
        }
    }

    @Test func `a document of more than 512 KiB is refused, announced or not`() async throws {
        let long = String(repeating: " ", count: (512 << 10) + 1)
        let endless = LoopbackServer.Answer.endless(
            head: Array("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n".utf8),
            part: Array(repeating: 32, count: 4096))
        for answer in [.document(long), endless] {
            try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in answer }) { server in
                let reason = await failure { try await fetch("https://a.example:\(server.port)/") }
                #expect(reason.contains("answers with more than 512 KiB"))
            }
        }
    }

    @Test func `any status but 200 is refused`() async throws {
        for status in ["404 Not Found", "500 Internal Server Error", "204 No Content", "206 Partial Content"] {
            try await LoopbackServer.run(
                tls: certificate.serverContext, answer: { _, _ in .document("{}", status: status) }
            ) { server in
                let reason = await failure { try await fetch("https://a.example:\(server.port)/") }
                #expect(reason.contains("answers \(status.prefix(3))"))
            }
        }
    }

    @Test func `a server that falls silent is given up at the deadline`() async throws {
        let head = Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".utf8)
        for bytes in [[], head] {
            try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in .stall(bytes) }) { server in
                let reason = await failure {
                    try await fetch("https://a.example:\(server.port)/", timeLimit: .milliseconds(400))
                }
                #expect(reason.contains("did not answer in time"))
                await server.untilClosed()
            }
        }
    }
}

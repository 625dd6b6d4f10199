import Broker
import BrokerHTTP
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct GuardedFetcherTLSTests {
    private func fetch(
        _ url: String, port: Int, trusting roots: GuardedFetcher.TrustRoots
    ) async throws -> FetchedDocument {
        let loopback = [["127.0.0.1"]]
        let resolver = StubResolver(["a.example": loopback, "b.example": loopback])
        let fetcher = GuardedFetcher(resolver: resolver, trustRoots: roots, timeLimit: .seconds(60))
        return try await fetcher.fetch(
            OutboundURL(parsing: url.replacing("PORT", with: "\(port)")), allowsPrivateAddresses: true,
            before: fetcher.deadline)
    }

    @Test func `a certificate of the host from a trusted authority is accepted at the pinned address`() async throws {
        let certificate = try TestCertificate(name: "a.example")
        try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in .document("{}") }) { server in
            let document = try await fetch(
                "https://a.example:PORT/", port: server.port, trusting: .pem(certificate.pem))
            #expect(document.body == Array("{}".utf8))
        }
    }

    @Test func `a self-signed certificate is refused, with allow_private too`() async throws {
        let certificate = try TestCertificate(name: "a.example")
        try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in .document("{}") }) { server in
            for url in ["https://a.example:PORT/", "https://127.0.0.1:PORT/"] {
                let failure = await #expect(throws: FetchFailure.self) {
                    try await fetch(url, port: server.port, trusting: .system)
                }
                #expect(failure?.description.contains("does not lead to a trusted authority") == true)
            }
            #expect(server.tally.requests.isEmpty)
        }
    }

    @Test(arguments: ["https://b.example:PORT/", "https://127.0.0.1:PORT/"])
    func `a trusted certificate of another host is refused`(url: String) async throws {
        let certificate = try TestCertificate(name: "a.example")
        try await LoopbackServer.run(tls: certificate.serverContext, answer: { _, _ in .document("{}") }) { server in
            let failure = await #expect(throws: FetchFailure.self) {
                try await fetch(url, port: server.port, trusting: .pem(certificate.pem))
            }
            #expect(failure?.description.contains("its certificate is not of that host") == true)
            #expect(server.tally.requests.isEmpty)
        }
    }

    @Test func `a redirect from https to http is refused`() async throws {
        let certificate = try TestCertificate(name: "a.example")
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            target == "/" ? .redirect(to: "http://a.example:\(port)/keys") : .document("{}")
        }
        try await LoopbackServer.run(tls: certificate.serverContext, answer: answer) { server in
            let url = try OutboundURL(parsing: "https://a.example:\(server.port)/")
            let target = try OutboundURL(parsing: "http://a.example:\(server.port)/keys")
            await #expect(throws: FetchFailure.redirect(from: url, to: target)) {
                try await fetch(url.description, port: server.port, trusting: .pem(certificate.pem))
            }
            #expect(server.tally.connections == 1)
        }
    }

    @Test func `a server that does not take part in the handshake is given up at the deadline`() async throws {
        try await LoopbackServer.run(.stall([])) { server in
            let url = try OutboundURL(parsing: "https://127.0.0.1:\(server.port)/")
            let fetcher = GuardedFetcher(resolver: StubResolver(), timeLimit: .milliseconds(300))
            await #expect(throws: FetchFailure.deadline(url)) {
                try await fetcher.fetch(url, allowsPrivateAddresses: true, before: fetcher.deadline)
            }
            await server.untilClosed()
        }
    }
}

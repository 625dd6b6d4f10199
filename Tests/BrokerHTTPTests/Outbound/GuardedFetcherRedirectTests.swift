import Broker
import BrokerHTTP
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct GuardedFetcherRedirectTests {
    private static let names = ["a.example", "b.example"]

    private func fetch(_ url: OutboundURL, resolver: StubResolver) async throws -> FetchedDocument {
        let fetcher = GuardedFetcher(resolver: resolver, timeLimit: .seconds(60))
        return try await fetcher.fetch(url, allowsPrivateAddresses: true, before: fetcher.deadline)
    }

    @Test(arguments: [
        "301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect",
    ])
    func `a redirect on the same host is followed and the host is checked again`(status: String) async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            switch target {
            case "/": .redirect(to: "/second", status: status)
            case "/second": .redirect(to: "http://A.example:\(port)/third", status: status)
            default: .document("{}")
            }
        }
        try await LoopbackServer.run(answer: answer) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.1"]]])
            let url = try OutboundURL(parsing: "http://a.example:\(server.port)/")
            #expect(try await fetch(url, resolver: resolver).body == Array("{}".utf8))
            #expect(resolver.calls == ["a.example", "a.example", "a.example"])
            #expect(server.tally.connections == 3)
        }
    }

    @Test func `a redirect whose host resolves to another address by now is refused`() async throws {
        try await LoopbackServer.run(.redirect(to: "/next")) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.1"], ["169.254.169.254"]]])
            let url = try OutboundURL(parsing: "http://a.example:\(server.port)/")
            let next = try url.redirected(to: "/next")
            await #expect(throws: FetchFailure.plainHTTP(next)) {
                try await fetch(url, resolver: resolver)
            }
            #expect(server.tally.connections == 1)
        }
    }

    @Test(arguments: [
        "http://b.example:PORT/", "//b.example:PORT/", "http://127.0.0.1:PORT/", "http://[::1]:PORT/",
        "http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "http://sub.a.example:PORT/",
        "http://a.example.evil.example:PORT/",
    ])
    func `a redirect to another host is refused without a look-up`(location: String) async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            target == "/" ? .redirect(to: location.replacing("PORT", with: "\(port)")) : .document("{}")
        }
        try await LoopbackServer.run(answer: answer) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]])
            let url = try OutboundURL(parsing: "http://a.example:\(server.port)/")
            let target = try url.redirected(to: location.replacing("PORT", with: "\(server.port)"))
            await #expect(throws: FetchFailure.redirect(from: url, to: target)) {
                try await fetch(url, resolver: resolver)
            }
            #expect(resolver.calls == ["a.example"])
            #expect(server.tally.connections == 1)
        }
    }

    @Test(arguments: ["file:///etc/passwd", "keys", "http://a.example@b.example/", "unix:///run/x", "", "/a b"])
    func `a redirect to something that is no plain URL is refused`(location: String) async throws {
        try await LoopbackServer.run(.redirect(to: location)) { server in
            let url = try OutboundURL(parsing: "http://a.example:\(server.port)/")
            await #expect(throws: FetchFailure.redirect(from: url, to: nil)) {
                try await fetch(url, resolver: StubResolver(["a.example": [["127.0.0.1"]]]))
            }
            #expect(server.tally.connections == 1)
        }
    }

    @Test(arguments: [[], ["Location: /a", "Location: /b"]])
    func `a redirect to nowhere or to two places is refused`(headers: [String]) async throws {
        try await LoopbackServer.run(.document("", status: "302 Found", headers: headers)) { server in
            let url = try OutboundURL(parsing: server.origin)
            await #expect(throws: FetchFailure.redirect(from: url, to: nil)) {
                try await fetch(url, resolver: StubResolver())
            }
        }
    }

    @Test func `three redirects are followed and a loop is not`() async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, _ in
            switch target {
            case "/3": .redirect(to: "/2")
            case "/2": .redirect(to: "/1")
            case "/1": .redirect(to: "/0")
            case "/0": .document("{}")
            default: .redirect(to: target)
            }
        }
        try await LoopbackServer.run(answer: answer) { server in
            _ = try await fetch(OutboundURL(parsing: "\(server.origin)/3"), resolver: StubResolver())
            let loop = try OutboundURL(parsing: "\(server.origin)/loop")
            await #expect(throws: FetchFailure.tooManyRedirects(loop)) {
                try await fetch(loop, resolver: StubResolver())
            }
            #expect(server.tally.connections == 8)
        }
    }
}

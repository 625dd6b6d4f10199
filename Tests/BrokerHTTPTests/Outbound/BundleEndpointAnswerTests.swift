import Broker
import BrokerHTTP
import BrokerTesting
import JOSE
import NIOSSL
import SPIFFE
import Testing

/// What an endpoint may do that has proved who it is, and is hostile or broken all the same.
@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `The answer of a bundle endpoint` {
    private static let limit = 512 * 1024

    private let bundles: TrustBundleSet
    private let tls: NIOSSLContext
    private let stranger: NIOSSLContext

    init() throws {
        let domain = try TestTrustDomain()
        bundles = try TrustBundleSet([domain.bundle])
        tls = try SVIDEndpoint(of: domain.ca).serverContext()
        stranger = try SVIDEndpoint("spiffe://prod.example.com/other", of: domain.ca).serverContext()
    }

    private func run(
        _ answer: LoopbackServer.Answer, _ body: (LoopbackServer, BundleFetching) async throws -> Void
    ) async throws {
        try await LoopbackServer.run(tls: tls, answer: { _, _ in answer }) { server in
            try await body(server, BundleFetching(bundles))
            await server.untilClosed()
        }
    }

    // MARK: Framing

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n{}",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    ])
    func `is read to its end, however it says where that is`(answer: String) async throws {
        try await run(.bytes(Array(answer.utf8))) { server, fetching in
            let document = try await fetching.fetch(server.secureOrigin)
            #expect(document.body == Array("{}".utf8))
        }
    }

    @Test(arguments: [
        ("", "ended before"), ("HTTP/1.1 200 OK\r\n", "ended before"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "ended before"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "ended before"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", "ended before"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", "speak HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}", "speak HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "speak HTTP/1.1"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "speak HTTP/1.1"
        ),
        ("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "speak HTTP/1.1"),
        ("SSH-2.0-OpenSSH_9\r\n", "speak HTTP/1.1"), ("{}", "speak HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\n{}", "speak HTTP/1.1"),
    ])
    func `is refused where it is cut short, contradicts itself or is no HTTP`(
        answer: String, reason: String
    ) async throws {
        try await run(.bytes(Array(answer.utf8))) { server, fetching in
            let failure = try await fetching.refusal(of: server.secureOrigin)
            #expect(failure?.description.contains(reason) == true, "\(failure as Any)")
        }
    }

    @Test(arguments: ["HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}"])
    func `is refused where its end is not the endpoint's own`(answer: String) async throws {
        try await run(.cut(Array(answer.utf8))) { server, fetching in
            let failure = try await fetching.refusal(of: server.secureOrigin)
            #expect(failure?.description.contains("ended before its answer did") == true, "\(failure as Any)")
        }
    }

    @Test(arguments: [
        (500, "500 Internal Server Error"), (404, "404 Not Found"), (204, "204 No Content"), (201, "201 Created"),
        (206, "206 Partial Content"), (304, "304 Not Modified"), (300, "300 Multiple Choices"),
        (101, "101 Switching Protocols"), (401, "401 Unauthorized"),
    ])
    func `is refused with any status but 200`(code: Int, status: String) async throws {
        try await run(.document("{}", status: status)) { server, fetching in
            let url = try OutboundURL(parsing: server.secureOrigin)
            #expect(try await fetching.refusal(of: server.secureOrigin) == .status(url, code))
        }
    }

    // MARK: Size and time

    @Test(arguments: [false, true]) func `may have 512 KiB and not a byte more`(isChunked: Bool) async throws {
        for (length, isAccepted) in [(Self.limit, true), (Self.limit + 1, false)] {
            let body = String(repeating: "a", count: length)
            let chunked =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "\(String(length, radix: 16))\r\n\(body)\r\n0\r\n\r\n"
            try await run(isChunked ? .bytes(Array(chunked.utf8)) : .document(body)) { server, fetching in
                let url = try OutboundURL(parsing: server.secureOrigin)
                let failure = try await fetching.refusal(of: server.secureOrigin)
                #expect(failure == (isAccepted ? nil : .bodyTooLarge(url)))
            }
        }
    }

    @Test(arguments: [
        (
            "HTTP/1.1 200 OK\r\n", "X-\(String(repeating: "a", count: 60)): \(String(repeating: "b", count: 1000))\r\n",
            "head"
        ),
        ("HTTP/1.1 200 OK\r\n", "A: \r\n", "head"),
        ("HTTP/1.1 200 OK\r\nX: ", "aaaaaaaaaaaaaaaa", "head"), ("HTTP/1.1 200 OK\r\n", "aaaaaaaaaaaaaaaa", "head"),
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n", "heads before its answer"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n", "head"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", "aaaaaaaaaaaaaaaa", "more than 512 KiB"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "a", "HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", "more than 512 KiB"),
        ("HTTP/1.1 200 OK\r\n\r\n", "aaaaaaaaaaaaaaaa", "more than 512 KiB"),
    ])
    func `is given up where it has no end`(head: String, part: String, reason: String) async throws {
        let part = String(repeating: part, count: 1 + 16 * 1024 / part.utf8.count)
        try await run(.endless(head: Array(head.utf8), part: Array(part.utf8))) { server, fetching in
            let failure = try await fetching.refusal(of: server.secureOrigin)
            #expect(failure?.description.contains(reason) == true, "\(failure as Any)")
            await server.untilClosed()
            // What the sockets of both sides may buffer, and far from what would come.
            #expect(server.tally.bytesWritten < 32 << 20)
        }
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "HTTP/1.1 302 Found\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ])
    func `is given up at the deadline`(begin: String) async throws {
        try await LoopbackServer.run(tls: tls, answer: { _, _ in .stall(Array(begin.utf8)) }) { server in
            let url = try OutboundURL(parsing: server.secureOrigin)
            let fetching = BundleFetching(bundles, timeLimit: .milliseconds(300))
            #expect(try await fetching.refusal(of: server.secureOrigin) == .deadline(url))
            await server.untilClosed()
        }
    }

    @Test func `is given up at the deadline while it drips`() async throws {
        let head = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;".utf8)
        try await LoopbackServer.run(
            tls: tls, answer: { _, _ in .endless(head: head, part: Array("x".utf8)) }
        ) { server in
            let url = try OutboundURL(parsing: server.secureOrigin)
            let fetching = BundleFetching(bundles, timeLimit: .milliseconds(300))
            #expect(try await fetching.refusal(of: server.secureOrigin) == .deadline(url))
            await server.untilClosed()
        }
    }

    @Test func `ends with the handshake where nobody takes part in that`() async throws {
        try await LoopbackServer.run(.stall([])) { server in
            let url = try OutboundURL(parsing: server.secureOrigin)
            let fetching = BundleFetching(bundles, timeLimit: .milliseconds(300))
            #expect(try await fetching.refusal(of: server.secureOrigin) == .deadline(url))
            await server.untilClosed()
        }
    }

    @Test func `is given up when the task is cancelled, and the connection closed`() async throws {
        let (asked, ask) = AsyncStream<Void>.makeStream()
        try await LoopbackServer.run(
            tls: tls,
            answer: { _, _ in
                ask.yield()
                return .stall([])
            }
        ) { server in
            let (fetching, origin) = (BundleFetching(bundles), server.secureOrigin)
            let task = Task { try await fetching.refusal(of: origin) }
            for await _ in asked { break }
            task.cancel()
            let failure = try await task.value
            #expect(failure != nil)
            await server.untilClosed()
        }
    }

    @Test func `never comes from a port where nobody listens`() async throws {
        let port = try UnheardPort()
        defer { withExtendedLifetime(port) {} }
        let failure = try await BundleFetching(bundles).refusal(of: "https://127.0.0.1:\(port.number)/")
        #expect(failure?.description == "https://127.0.0.1:\(port.number)/ cannot be read: connection refused")
    }

    // MARK: Redirects

    @Test(arguments: [
        "301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect",
    ])
    func `may be a redirect to the same ID, and none is remembered`(
        status: String
    ) async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, port in
            switch target {
            case "/": .redirect(to: "/second", status: status)
            case "/second": .redirect(to: "https://A.example:\(port)/third", status: status)
            default: .document("{}")
            }
        }
        try await LoopbackServer.run(tls: tls, answer: answer) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.1"]]])
            let fetching = BundleFetching(bundles, resolver: resolver)
            for _ in 0..<2 {
                _ = try await fetching.fetch("https://a.example:\(server.port)/")
            }
            #expect(resolver.calls.count == 6)
            #expect(
                server.tally.requests.map { $0.split(separator: " ")[1] } == [
                    "/", "/second", "/third", "/", "/second", "/third",
                ])
            #expect(server.tally.connections == 6)
            await server.untilClosed()
        }
    }

    @Test func `may not be a redirect to somebody else, who is not asked`() async throws {
        try await LoopbackServer.run(tls: stranger, answer: { _, _ in .document("{}") }) { second in
            try await run(.redirect(to: second.secureOrigin)) { server, fetching in
                let url = try OutboundURL(parsing: second.secureOrigin)
                let failure = try await fetching.refusal(of: server.secureOrigin)
                guard case .otherIdentity(url, let id, expected: _) = failure else {
                    Issue.record("\(failure as Any)")
                    return
                }
                #expect(id.text == "spiffe://prod.example.com/other")
            }
            #expect(second.tally.connections == 1)
            #expect(second.tally.requests.isEmpty)
        }
    }

    /// Of loopback, which is allowed for the configured host: what is refused is the address, after the look-up.
    @Test func `may be a redirect to another host, which is not also allowed a private address`() async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { _, port in
            .redirect(to: "https://b.example:\(port)/")
        }
        try await LoopbackServer.run(tls: tls, answer: answer) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]])
            let fetching = BundleFetching(bundles, resolver: resolver)
            let failure = try await fetching.refusal(of: "https://a.example:\(server.port)/")
            let loopback = try #require(IPAddress(parsing: "127.0.0.1"))
            let url = try OutboundURL(parsing: "https://b.example:\(server.port)/")
            #expect(failure == .privateAddress(url, loopback))
            #expect(resolver.calls == ["a.example", "b.example"])
            #expect(server.tally.connections == 1)
        }
    }

    @Test func `may not be a redirect to plain http`() async throws {
        try await LoopbackServer.run(.document("{}")) { second in
            try await run(.redirect(to: second.origin)) { server, fetching in
                let url = try OutboundURL(parsing: second.origin)
                #expect(try await fetching.refusal(of: server.secureOrigin) == .notHTTPS(url))
            }
            #expect(second.tally.connections == 0)
        }
    }

    @Test(arguments: ["file:///etc/passwd", "keys", "https://a.example@b.example/", "", "/a b", "https://a.example/#x"])
    func `may not be a redirect to something that is no plain URL`(location: String) async throws {
        try await run(.redirect(to: location)) { server, fetching in
            let url = try OutboundURL(parsing: server.secureOrigin)
            #expect(try await fetching.refusal(of: server.secureOrigin) == .redirect(from: url, to: nil))
        }
    }

    @Test func `may be three redirects and not a loop`() async throws {
        let answer: @Sendable (String, Int) -> LoopbackServer.Answer = { target, _ in
            switch target {
            case "/3": .redirect(to: "/2")
            case "/2": .redirect(to: "/1")
            case "/1": .redirect(to: "/0")
            case "/0": .document("{}")
            default: .redirect(to: target)
            }
        }
        try await LoopbackServer.run(tls: tls, answer: answer) { server in
            let fetching = BundleFetching(bundles)
            _ = try await fetching.fetch("\(server.secureOrigin)/3")
            let loop = try OutboundURL(parsing: "\(server.secureOrigin)/loop")
            #expect(try await fetching.refusal(of: loop.description) == .tooManyRedirects(loop))
            #expect(server.tally.connections == 8)
        }
    }
}

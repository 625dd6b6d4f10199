import Broker
import BrokerHTTP
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct GuardedFetcherTests {
    private func fetch(
        _ url: String, resolver: StubResolver = StubResolver(), timeLimit: Duration = .seconds(60),
        allowsPrivateAddresses: Bool = true
    ) async throws -> FetchedDocument {
        let fetcher = GuardedFetcher(resolver: resolver, timeLimit: timeLimit)
        return try await fetcher.fetch(
            OutboundURL(parsing: url), allowsPrivateAddresses: allowsPrivateAddresses, before: fetcher.deadline)
    }

    @Test func `a document is fetched with a plain request`() async throws {
        try await LoopbackServer.run(.document("{}", headers: ["Set-Cookie: a=b"])) { server in
            let document = try await fetch("\(server.origin)/keys?x=%2F")
            #expect(document.body == Array("{}".utf8))
            #expect(document.maximumAge == nil)
            let lines = server.tally.requests[0].split(separator: "\r\n").map { $0.lowercased() }
            #expect(lines[0] == "get /keys?x=%2f http/1.1")
            let expected = ["host: 127.0.0.1:\(server.port)", "user-agent: daypass", "accept: application/json"]
            #expect(Set(lines.dropFirst()).subtracting(["connection: close"]) == Set(expected))
        }
    }

    @Test(
        arguments: [
            (["Cache-Control: max-age=600"], Duration.seconds(600)), (["cache-control: public, MAX-AGE=0"], .zero),
            (["Cache-Control: public", "Cache-Control: max-age=7"], .seconds(7)),
            (["Cache-Control: max-age=99999999999999999999999"], .seconds(1 << 31)),
            (["Cache-Control: max-age=-1"], nil), (["Cache-Control: s-maxage=5"], nil),
            (["Cache-Control: max-age"], nil),
            (["Cache-Control: max-age=\"5\""], nil), (["Cache-Control: max-age=1e3"], nil), (["Expires: 0"], nil),
            (["Cache-Control: max-age="], nil),
        ] as [([String], Duration?)])
    func `the age that a publisher allows is read`(headers: [String], expected: Duration?) async throws {
        try await LoopbackServer.run(.document("{}", headers: headers)) { server in
            let document = try await fetch(server.origin)
            #expect(document.maximumAge == expected)
        }
    }

    @Test(arguments: [
        (500, "500 Internal Server Error"), (404, "404 Not Found"), (204, "204 No Content"),
        (206, "206 Partial Content"),
        (201, "201 Created"), (304, "304 Not Modified"), (300, "300 Multiple Choices"), (401, "401 Unauthorized"),
    ])
    func `any status but 200 is refused`(code: Int, status: String) async throws {
        try await LoopbackServer.run(.document("", status: status)) { server in
            let url = try OutboundURL(parsing: server.origin)
            await #expect(throws: FetchFailure.status(url, code)) { try await fetch(server.origin) }
        }
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "SSH-2.0-OpenSSH_9\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \(String(repeating: "a", count: 200_000))\r\n\r\n",
    ])
    func `an answer that is cut short or no HTTP is refused`(answer: String) async throws {
        try await LoopbackServer.run(.bytes(Array(answer.utf8))) { server in
            let failure = await #expect(throws: FetchFailure.self) { try await fetch(server.origin) }
            let isOfTheConnection = if case .connection = failure { true } else { false }
            #expect(isOfTheConnection, "\(failure as Any)")
        }
    }

    @Test func `a refused connection fails at once and names the reason`() async throws {
        let port = try UnheardPort()
        defer { withExtendedLifetime(port) {} }
        let origin = "http://127.0.0.1:\(port.number)"
        let failure = await #expect(throws: FetchFailure.self) { try await fetch(origin) }
        #expect(failure?.description == "\(origin)/ cannot be read: connection refused")
    }

    // MARK: Time and size

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "HTTP/1.1 302 Found\r\n",
    ])
    func `an answer that never ends is given up at the deadline`(begin: String) async throws {
        try await LoopbackServer.run(.stall(Array(begin.utf8))) { server in
            let url = try OutboundURL(parsing: server.origin)
            await #expect(throws: FetchFailure.deadline(url)) {
                try await fetch(server.origin, timeLimit: .milliseconds(300))
            }
            await server.untilClosed()
        }
    }

    @Test func `an answer that drips is given up at the deadline`() async throws {
        let head = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
        let interim = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
        for answer in [
            LoopbackServer.Answer.endless(head: [], part: interim),
            .endless(head: head, part: Array("1\r\n \r\n".utf8)),
        ] {
            try await LoopbackServer.run(answer) { server in
                await #expect(throws: FetchFailure.self) {
                    try await fetch(server.origin, timeLimit: .milliseconds(300))
                }
                await server.untilClosed()
            }
        }
    }

    @Test func `a name server that never answers is given up at the deadline`() async throws {
        struct SilentResolver: HostResolver {
            func addresses(of name: String) async throws(ResolutionFailure) -> [IPAddress] {
                let (stream, end) = AsyncStream<Never>.makeStream()
                for await _ in stream {}
                end.finish()
                throw ResolutionFailure("cancelled")
            }
        }
        let url = try OutboundURL(parsing: "https://a.example/")
        let fetcher = GuardedFetcher(resolver: SilentResolver(), timeLimit: .milliseconds(100))
        await #expect(throws: FetchFailure.deadline(url)) {
            try await fetcher.fetch(url, allowsPrivateAddresses: false, before: fetcher.deadline)
        }
    }

    @Test func `a body of exactly 512 KiB is accepted and one byte more is refused`() async throws {
        let limit = 512 * 1024
        for chunked in [false, true] {
            for (length, isAccepted) in [(limit, true), (limit + 1, false)] {
                let body = String(repeating: "a", count: length)
                let answer =
                    chunked
                    ? LoopbackServer.Answer.bytes(
                        Array(
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(String(length, radix: 16))\r\n\(body)\r\n0\r\n\r\n"
                                .utf8))
                    : .document(body)
                try await LoopbackServer.run(answer) { server in
                    let url = try OutboundURL(parsing: server.origin)
                    if isAccepted {
                        #expect(try await fetch(server.origin).body.count == limit)
                    } else {
                        await #expect(throws: FetchFailure.bodyTooLarge(url)) { try await fetch(server.origin) }
                    }
                }
            }
        }
    }

    @Test(arguments: ["Content-Length: 1073741824", "Transfer-Encoding: chunked", "X-No-Length: 1"])
    func `a body of a gigabyte is refused before it arrives`(framing: String) async throws {
        let text = String(repeating: "a", count: 64 * 1024)
        let part = framing.hasPrefix("Transfer") ? "10000\r\n\(text)\r\n" : text
        let head = "HTTP/1.1 200 OK\r\n\(framing)\r\n\r\n"
        try await LoopbackServer.run(.endless(head: Array(head.utf8), part: Array(part.utf8))) { server in
            let url = try OutboundURL(parsing: server.origin)
            await #expect(throws: FetchFailure.bodyTooLarge(url)) { try await fetch(server.origin) }
            await server.untilClosed()
            // What the sockets of both sides may buffer, and far from a gigabyte.
            #expect(server.tally.bytesWritten < 32 << 20)
        }
    }

    @Test func `a compressed body is not expanded`() async throws {
        // 1 MiB of zeros, compressed, would be over the limit.
        let gzip: [UInt8] = [0x1F, 0x8B, 0x08, 0, 0, 0, 0, 0, 0, 0x03, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(gzip.count)\r\n\r\n"
        try await LoopbackServer.run(.bytes(Array(head.utf8) + gzip)) { server in
            let document = try await fetch(server.origin)
            #expect(document.body == gzip)
            #expect(!server.tally.requests[0].lowercased().contains("accept-encoding"))
        }
    }

    // MARK: Addresses

    @Test(arguments: ["issuer.example", "xn--bcher-kva.example", "a.b.c.example", "localhost"])
    func `the connection goes to the checked address and the name is looked up once`(name: String) async throws {
        try await LoopbackServer.run(.document("{}")) { server in
            // What a rebinding name server does: one answer for the check, another for the connection.
            let resolver = StubResolver([name: [["127.0.0.1"], ["10.0.0.1"]]])
            _ = try await fetch("http://\(name):\(server.port)/", resolver: resolver)
            #expect(resolver.calls == [name])
            #expect(server.tally.connections == 1)
            #expect(server.tally.requests[0].lowercased().contains("\r\nhost: \(name):\(server.port)\r\n"))
        }
    }

    @Test func `the next address is tried when the first does not answer`() async throws {
        try await LoopbackServer.run(.document("{}")) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.9", "127.0.0.8", "127.0.0.1"]]])
            let document = try await fetch("http://a.example:\(server.port)/", resolver: resolver)
            #expect(document.body == Array("{}".utf8))
            #expect(server.tally.connections == 1)
        }
    }

    @Test func `at most four addresses are tried`() async throws {
        try await LoopbackServer.run(.document("{}")) { server in
            let addresses = (2...5).map { "127.0.0.\($0)" } + ["127.0.0.1"]
            let resolver = StubResolver(["a.example": [addresses]])
            await #expect(throws: FetchFailure.self) {
                try await fetch("http://a.example:\(server.port)/", resolver: resolver)
            }
            #expect(server.tally.connections == 0)
        }
    }

    @Test func `an answer is final: no other address is asked for a better one`() async throws {
        try await LoopbackServer.run(.document("", status: "503 Service Unavailable")) { server in
            let resolver = StubResolver(["a.example": [["127.0.0.1", "127.0.0.1"]]])
            await #expect(throws: FetchFailure.self) {
                try await fetch("http://a.example:\(server.port)/", resolver: resolver)
            }
            #expect(server.tally.connections == 1)
        }
    }

    @Test(arguments: ["http://127.0.0.1", "https://127.0.0.1", "http://a.example", "https://a.example"])
    func `loopback is not contacted unless private addresses are allowed`(origin: String) async throws {
        try await LoopbackServer.run(.document("{}")) { server in
            let resolver = StubResolver(["a.example": [["8.8.8.8", "127.0.0.1"]]])
            await #expect(throws: FetchFailure.self) {
                try await fetch("\(origin):\(server.port)/", resolver: resolver, allowsPrivateAddresses: false)
            }
            #expect(server.tally.connections == 0)
        }
    }
}

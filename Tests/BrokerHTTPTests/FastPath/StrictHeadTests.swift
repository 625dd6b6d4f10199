@testable import BrokerHTTP
import NIOCore
import Testing

@Suite struct `The strict form of a head` {
    private static let plain = "GET /verify HTTP/1.1\r\nHost: a\r\n\r\n"

    private func read(_ bytes: [UInt8]) -> (outcome: StrictHead.Outcome, head: StrictHead) {
        var head = StrictHead()
        let outcome = bytes.withUnsafeBytes { StrictHead.read($0, from: 0, into: &head) }
        return (outcome, head)
    }

    private func isWhole(_ text: String) -> Bool {
        let (outcome, head) = read(Array(text.utf8))
        return outcome == .whole && head.length == text.utf8.count
    }

    /// A head with one more field.
    private static func with(_ field: String) -> String {
        "GET /verify HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\n"
    }

    @Test(arguments: [
        plain, "POST /verify/v1/messages?beta=true HTTP/1.1\r\nhost:a\r\ncontent-length: 0\r\n\r\n",
        "GET /verify? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /verify/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify?scope=a:b%20c&model=x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify/a?b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify//../%2f HTTP/1.1\r\nHOST: a\r\n\r\n", with("x-empty:"), with("x-empty: "),
        with("Connection: Keep-Alive"), with("Authorization: Bearer a b"), with("User-Agent: \u{E9}"),
        with("authorization: a\r\nAUTHORIZATION: b"), with("Content-Length: 0"), with("Keep-Alive: 5"),
        with("x: \(String(repeating: "a", count: 24 * 1024 - 5))"),
        "GET /verify HTTP/1.1\r\nHost: a\r\n" + String(repeating: "x: y\r\n", count: 127) + "\r\n",
    ])
    func `takes what no parser reads otherwise`(_ text: String) {
        #expect(isWhole(text))
    }

    @Test(arguments: [
        // The first line.
        "get /verify HTTP/1.1\r\nHost: a\r\n\r\n", "GET  /verify HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify  HTTP/1.1\r\nHost: a\r\n\r\n", "GET\t/verify HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify HTTP/1.0\r\nHost: a\r\n\r\n", "GET /verify HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /verify HTTP/2.0\r\nHost: a\r\n\r\n", "GET /verify http/1.1\r\nHost: a\r\n\r\n",
        "GET /verify HTTP/1.1\nHost: a\r\n\r\n", "GET /verify HTTP/1.1\r\r\nHost: a\r\n\r\n", "GET /verify\r\n\r\n",
        "\r\nGET /verify HTTP/1.1\r\nHost: a\r\n\r\n", " GET /verify HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /verify HTTP/1.1\r\nHost: a\r\n\r\n", "PUT /verify HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        // The target.
        "GET http://a/verify HTTP/1.1\r\nHost: a\r\n\r\n", "GET //verify HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify#x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /verify/#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify?a#x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /verify%2f HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verifyx HTTP/1.1\r\nHost: a\r\n\r\n", "GET /Verify HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /verify;a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify?a?b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /verify/\u{E9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify/\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", "GET /verify/\"a\" HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify/\\a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /verify/{a} HTTP/1.1\r\nHost: a\r\n\r\n",
        // Host.
        "GET /verify HTTP/1.1\r\n\r\n", "GET /verify HTTP/1.1\r\nHost:\r\n\r\n", with("Host: a"), with("hOST: b"),
        // What belongs to the message or to the connection.
        with("Content-Length: 1"), with("Content-Length: 00"), with("Content-Length: +0"), with("Content-Length: -0"),
        with("Content-Length:"), with("Content-Length: 0, 0"), with("Content-Length: 0\r\nContent-Length: 0"),
        with("Content-Length: 0x0"), with("Transfer-Encoding: chunked"), with("transfer-encoding: identity"),
        with("Transfer-Encoding:"), with("Connection: close"), with("Connection: keep-alive, close"),
        with("Connection: keep-alive, Upgrade"), with("Connection:"),
        with("Connection: keep-alive\r\nConnection: close"),
        with("Proxy-Connection: close"), with("Proxy-Connection: keep-alive"), with("Upgrade: websocket"),
        with("Expect: 100-continue"), with("TE: trailers"), with("Trailer: x"), with("HTTP2-Settings: AAMA"),
        // Fields of another form.
        with("x : a"), with("x\t: a"), with(": a"), with(" x: a"), with("\tx: a"), with("x"), with("x\u{E9}: a"),
        with("x(: a"), with("x\u{0}: a"), with("x: a\r\n b"), with("x: a\r\n\tb"), with("x: a\nb: c"),
        with("x: a\rb: c"),
        with("x: a\u{0}b"), with("x: a\tb"), with("x: \ta"), with("x:  a"), with("x: a "), with("x: a\u{7F}"),
        with("x: aaaaaaaaaaaaaaaaaaaa\u{1}"), with("x: \u{E9}\u{1}"), with("x: aaaaaaaa\naaaaaaaa"),
        // What is read, and empty, or not ASCII.
        with("Authorization:"), with("Authorization: \u{E9}"), with("x-api-key:"), with("x-api-key: aaaaaaaa\u{E9}"),
        with("Daypass-Require-Scope:"), with("Daypass-Require-Model:"), with("Daypass-Require-Scope: \u{E9}"),
        with("Daypass-Require-Scope: a\r\nDaypass-Require-Scope: b"),
        with("Daypass-Require-Model: a\r\ndaypass-require-model: b"),
        // Bounds.
        with("x: \(String(repeating: "a", count: 24 * 1024 - 2))"),
        "GET /verify/\(String(repeating: "a", count: 24 * 1024)) HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /verify HTTP/1.1\r\nHost: a\r\n" + String(repeating: "x: y\r\n", count: 128) + "\r\n",
        "GET /verify HTTP/1.1\r\nHost: a\r\n"
            + String(repeating: "x: \(String(repeating: "a", count: 20_000))\r\n", count: 4) + "\r\n",
    ])
    func `leaves everything else to the decoder`(_ text: String) {
        #expect(read(Array(text.utf8)).outcome == .other)
    }

    @Test func `waits for the rest of a head at every byte, and says no at the first that does not fit`() {
        let text = Array(
            "POST /verify?scope=a HTTP/1.1\r\nHost: a\r\nx-api-key: key\r\nContent-Length: 0\r\n\r\n".utf8)
        for end in 0..<text.count {
            #expect(read(Array(text[..<end])).outcome == .partial, "\(end) bytes")
            // Nowhere may a control character stand in the place of what comes next.
            #expect(read(text[..<end] + [0]).outcome == .other, "NUL behind \(end) bytes")
        }
    }

    @Test func `says where each part stands`() throws {
        let text =
            "GET /verify?scope=a&model=b HTTP/1.1\r\nHost: h\r\nX-API-Key: k\r\nauthorization: Bearer t\r\n"
            + "Daypass-Require-Scope: s, t\r\nDAYPASS-REQUIRE-MODEL:m\r\n\r\nGET"
        let bytes = Array(text.utf8)
        let (outcome, head) = read(bytes)
        #expect(outcome == .whole)
        func part(_ range: Range<Int>?) throws -> String { String(decoding: bytes[try #require(range)], as: UTF8.self) }
        #expect(head.length == bytes.count - 3)
        #expect(try part(head.query) == "scope=a&model=b")
        #expect(try part(head.apiKey) == "k")
        #expect(try part(head.authorization) == "Bearer t")
        #expect(try part(head.scope) == "s, t")
        #expect(try part(head.model) == "m")
        #expect(!head.isAmbiguous)
    }

    @Test(arguments: ["x-api-key", "Authorization"])
    func `says that a credential stands twice`(_ name: String) {
        let (outcome, head) = read(Array(Self.with("\(name): a\r\n\(name.uppercased()): a").utf8))
        #expect(outcome == .whole)
        #expect(head.isAmbiguous)
    }

    @Test func `gives the values of any other field, in their order`() {
        let text =
            "GET /verify HTTP/1.1\r\nX-Forwarded-For: a, b\r\nHost: a\r\nx-forwarded-for:c\r\nX-Forwarded-Fox: d\r\n\r\n"
        let (outcome, head) = read(Array(text.utf8))
        #expect(outcome == .whole)
        let values = Array(text.utf8).withUnsafeBytes { head.values(of: "x-forwarded-for", in: $0) }
        #expect(values == ["a, b", "c"])
    }

    @Test func `a query below is the client's`() {
        let (outcome, head) = read(Array("GET /verify/?scope=a HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        #expect(outcome == .whole)
        #expect(head.query == nil)
    }
}

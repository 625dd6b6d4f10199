import AsyncHTTPClient
import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import HTTPTypes
import JOSE
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPTypes
import Testing

@Suite(.onOwnThreads) struct `The routes of provider credentials` {
    private static let octets = [("Content-Type", "application/octet-stream")]

    private static func run(
        _ body: @escaping @Sendable (LiveAdministration, FakeCredentials) async throws -> Void
    ) async throws {
        try await LiveAdministration.run { live in try await body(live, live.fake.credentials) }
    }

    /// `POST credentials/anthropic/versions`, with any bytes.
    private static func add(
        _ live: LiveAdministration, _ bytes: [UInt8], to provider: String = "anthropic",
        headers: [(String, String)] = octets, chunked: Bool = false
    ) async throws -> HTTPAnswer {
        let socket = live.socket.split(separator: "/").reduce("") { "\($0)%2F\($1)" }
        var request = HTTPClientRequest(url: "http+unix://\(socket)/admin/v1/credentials/\(provider)/versions")
        request.method = .POST
        request.headers = HTTPHeaders(headers + [("Connection", "close")])
        if chunked {
            let parts = stride(from: 0, to: bytes.count, by: 1000).map {
                ByteBuffer(bytes: bytes[$0..<min($0 + 1000, bytes.count)])
            }
            request.body = .stream(
                AsyncStream<ByteBuffer> { stream in
                    for part in parts { stream.yield(part) }
                    stream.finish()
                }, length: .unknown)
        } else {
            request.body = .bytes(ByteBuffer(bytes: bytes))
        }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
        let collected = try await response.body.collect(upTo: 1 << 20)
        return HTTPAnswer(status: Int(response.status.code), headers: response.headers, body: String(buffer: collected))
    }

    @Test func `POST credentials/{provider}/versions answers 201 with the staged version, and never the secret`()
        async throws
    {
        try await Self.run { live, fake in
            let secret = "sk-ant-\u{0}\n\r\n{\"a\":1}"
            let answer = try await Self.add(live, Array(secret.utf8))
            #expect(answer.status == 201, "\(answer.body)")
            #expect(
                answer.json == [
                    "provider": "anthropic", "version": 1, "state": "staged", "created": "2027-01-15T08:00:00Z",
                    "since": "2027-01-15T08:00:00Z", "master_key": "m1",
                    "caller": answer.json["caller"] ?? .null,
                ])
            #expect(answer.json["caller"]?.object?["by"] == "socket")
            #expect(answer.json["caller"]?.object?["uid"]?.number == Double(getuid()))
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(fake.secrets == [Array(secret.utf8)])
            #expect(!answer.body.contains("sk-ant"))
            #expect(!live.log.lines.contains { $0.contains("sk-ant") })
        }
    }

    @Test(arguments: [1, 2, 4095, 16_385, 65_536], [false, true])
    func `a secret of any length arrives to the byte`(_ count: Int, _ chunked: Bool) async throws {
        try await Self.run { live, fake in
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let answer = try await Self.add(live, bytes, chunked: chunked)
            #expect(answer.status == 201, "\(answer.body)")
            #expect(fake.secrets == [bytes])
        }
    }

    @Test(arguments: [false, true])
    func `one of no bytes answers 400, and one of more than 65536 answers 413`(_ chunked: Bool) async throws {
        try await Self.run { live, fake in
            let empty = try await Self.add(live, [], chunked: chunked)
            #expect(empty.status == 400 && empty.text("message") == "the secret is empty", "\(empty.body)")
            let long = try await Self.add(live, [UInt8](repeating: 7, count: 65_537), chunked: chunked)
            #expect(long.status == 413 && long.text("error") == "too_long", "\(long.body)")
            #expect(long.text("message") == "the body is longer than 65536 bytes")
            #expect(fake.secrets == [])
        }
    }

    @Test(
        arguments: [
            [], [("Content-Type", "application/json")], [("Content-Type", "text/plain")],
            [("Content-Type", "application/octet-stream; charset=utf-8")],
            [("Content-Type", "application/x-www-form-urlencoded")],
            [("Content-Type", "application/octet-stream"), ("Content-Encoding", "gzip")],
        ] as [[(String, String)]])
    func `a body that is not plain octets answers 400`(_ headers: [(String, String)]) async throws {
        try await Self.run { live, fake in
            let answer = try await Self.add(live, Array(#"{"secret":"sk-ant"}"#.utf8), headers: headers)
            #expect(answer.status == 400 && answer.text("error") == "invalid_request", "\(answer.body)")
            #expect(answer.text("message")?.contains("application/octet-stream") == true)
            #expect(!answer.body.contains("sk-ant"))
            #expect(fake.secrets == [])
        }
    }

    @Test func `a body that stops before its end answers 408, and nothing is kept`() async throws {
        var bounds = ConnectionBounds.patient
        bounds.body = .milliseconds(300)
        try await LiveAdministration.run(bounds: bounds) { live in
            let python = """
                import socket,sys
                s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(20)
                s.sendall(b"POST /admin/v1/credentials/anthropic/versions HTTP/1.1\\r\\nHost: x\\r\\n"
                          b"Content-Type: application/octet-stream\\r\\nContent-Length: 100\\r\\n\\r\\nsk-ant-half")
                print(s.recv(4096).decode())
                """
            let answer = try await Command.run(
                ["python3", "-c", python, live.socket], in: FileManager.default.temporaryDirectory)
            #expect(answer.output.hasPrefix("HTTP/1.1 408 "), "\(answer.output)")
            #expect(!answer.output.contains("sk-ant"))
            #expect(live.fake.credentials.secrets == [])
        }
    }

    @Test func `GET credentials lists every version, and of one provider its own, page by page`() async throws {
        try await Self.run { live, fake in
            fake.hold(
                [
                    Sample.credential("anthropic", 1, .active), Sample.credential("anthropic", 2),
                    Sample.credential("openai", 1),
                ]
                .map(\.version))
            let first = try await live.send(.GET, "credentials?limit=2")
            #expect(first.status == 200, "\(first.body)")
            #expect(first.json["credentials"]?.array?.map { $0.object?["version"] } == [1, 2])
            #expect(first.json["credentials"]?.array?.first?.object?["state"] == "active")
            let cursor = try #require(first.text("next"))
            let second = try await live.send(.GET, "credentials?limit=2&cursor=\(cursor)")
            #expect(second.json["credentials"]?.array?.map { $0.object?["provider"] } == ["openai"])
            #expect(second.json["next"] == nil)
            let own = try await live.send(.GET, "credentials/openai/versions")
            #expect(own.json["credentials"]?.array?.count == 1, "\(own.body)")
            #expect(try await live.send(.GET, "credentials", "{}").status == 400)
        }
    }

    @Test func `POST promote and retire answer 200 with what changed, and take no body`() async throws {
        try await Self.run { live, fake in
            fake.hold([Sample.credential("anthropic", 1, .active), Sample.credential("anthropic", 2)].map(\.version))
            let promoted = try await live.send(.POST, "credentials/anthropic/versions/2/promote")
            #expect(promoted.status == 200, "\(promoted.body)")
            #expect(promoted.json["active"]?.object?["version"] == 2)
            #expect(promoted.json["draining"]?.object?["version"] == 1)
            #expect(promoted.json["changed"] == true)
            let again = try await live.send(.POST, "credentials/anthropic/versions/2/promote")
            #expect(again.status == 200 && again.json["changed"] == false && again.json["draining"] == nil)
            let rehearsed = try await live.send(
                .POST, "credentials/anthropic/versions/1/retire", #"{"dry_run":true}"#)
            #expect(rehearsed.status == 200 && rehearsed.text("state") == "draining", "\(rehearsed.body)")
            let active = try await live.send(.POST, "credentials/anthropic/versions/2/retire", #"{"dry_run":true}"#)
            #expect(active.status == 409, "\(active.body)")
            #expect(fake.versions.map(\.state) == [.draining, .active])
            let retired = try await live.send(.POST, "credentials/anthropic/versions/1/retire", "{}")
            #expect(retired.status == 200 && retired.text("state") == "retired", "\(retired.body)")
            for act in ["promote", "retire"] {
                let answer = try await live.send(
                    .POST, "credentials/anthropic/versions/1/\(act)", #"{"force":true}"#)
                #expect(answer.status == 400, "\(answer.body)")
            }
            #expect(fake.versions.map(\.state) == [.retired, .active])
            let rehearsal = try await live.send(
                .POST, "credentials/anthropic/versions/2/promote", #"{"dry_run":true}"#)
            #expect(rehearsal.status == 400, "nothing decides a rehearsal of a promotion: \(rehearsal.body)")
        }
    }

    @Test func `POST credentials/{provider}/promote promotes the one that is staged, and 409 where that is not one`()
        async throws
    {
        try await Self.run { live, fake in
            fake.hold([Sample.credential("anthropic", 1, .active), Sample.credential("anthropic", 2)].map(\.version))
            let promoted = try await live.send(.POST, "credentials/anthropic/promote")
            #expect(promoted.status == 200 && promoted.json["active"]?.object?["version"] == 2, "\(promoted.body)")
            let none = try await live.send(.POST, "credentials/anthropic/promote")
            #expect(none.status == 409 && none.text("message")?.hasSuffix("is staged") == true, "\(none.body)")
            #expect(try await live.send(.GET, "credentials/anthropic/promote").status == 405)
            #expect(try await live.send(.POST, "credentials/anthropic/retire").status == 404)
        }
    }

    @Test(arguments: [
        ("GET", "credentials/", 404), ("GET", "credentials/anthropic", 404), ("GET", "credentials/anthropic/", 404),
        ("GET", "credentials/anthropic/versions/1", 404), ("GET", "credentials/anthropic/versions/1/secret", 404),
        ("GET", "credentials/Anthropic/versions", 400), ("GET", "credentials/spiffe/versions", 400),
        ("GET", "credentials/sk-ant-API_KEY/versions", 400), ("GET", "credentials/a%2Fb/versions", 400),
        ("GET", "credentials/\(String(repeating: "a", count: 64))/versions", 400),
        ("DELETE", "credentials/anthropic/versions", 405), ("POST", "credentials", 405),
        ("PUT", "credentials/anthropic/versions", 405), ("GET", "credentials/anthropic/versions/1/promote", 405),
        ("POST", "credentials/anthropic/versions/0/promote", 404),
        ("POST", "credentials/anthropic/versions/01/promote", 404),
        ("POST", "credentials/anthropic/versions/-1/retire", 404),
        ("POST", "credentials/anthropic/versions/99999999999999999999/retire", 404),
        ("POST", "credentials/anthropic/versions/1/open", 404),
        ("GET", "credentials?secret=1", 400), ("GET", "credentials?limit=0", 400),
        ("POST", "credentials/anthropic/versions?secret=x", 400),
    ])
    func `refuse what they do not know, without repeating it`(_ method: String, _ path: String, _ status: Int)
        async throws
    {
        try await Self.run { live, fake in
            let answer = try await live.send(HTTPMethod(rawValue: method), path)
            #expect(answer.status == status, "\(answer.body)")
            #expect(!answer.body.contains("sk-ant"))
            #expect(fake.secrets == [])
        }
    }

    @Test(arguments: [
        (AdministrationFailure.conflict("it is there already"), 409), (.invalid("no"), 400), (.notFound("none"), 404),
        (.unavailable("the disk is full"), 503),
    ])
    func `say why nothing was done`(_ failure: AdministrationFailure, _ status: Int) async throws {
        try await Self.run { live, fake in
            fake.fail(with: failure)
            var answers = [try await Self.add(live, [1]), try await live.send(.GET, "credentials")]
            for act in ["promote", "retire"] {
                answers.append(try await live.send(.POST, "credentials/anthropic/versions/1/\(act)"))
            }
            #expect(answers.map(\.status) == [status, status, status, status])
        }
    }

    @Test func `what a connection has of a body is wiped before anything else is read from it`() throws {
        let channel = EmbeddedChannel(handler: OwnedBodies())
        var read = ByteBuffer(string: "head|the secret|tail")
        let copy = read
        read.moveReaderIndex(forwardBy: 5)
        let slice = read.readSlice(length: 10)
        let part = try #require(slice)
        let head = HTTPRequest(method: .post, scheme: nil, authority: nil, path: "/")
        try channel.writeInbound(HTTPRequestPart.head(head))
        _ = try channel.readInbound(as: HTTPRequestPart.self)
        try channel.writeInbound(HTTPRequestPart.body(part))
        guard case .body(let own)? = try channel.readInbound(as: HTTPRequestPart.self) else {
            Issue.record("no body came through")
            return
        }
        #expect(String(buffer: own) == "the secret")
        #expect(String(buffer: copy) == "head|\(String(repeating: "\u{0}", count: 10))|tail")
        try channel.writeInbound(HTTPRequestPart.end(nil))
        #expect(try channel.readInbound(as: HTTPRequestPart.self) == .end(nil))
        _ = try channel.finish()
    }

    @Test func `what was handed on of a body is wiped when its request is answered, whoever read it`() throws {
        let channel = EmbeddedChannel(handler: OwnedBodies())
        func receive(_ part: HTTPRequestPart) throws -> ByteBuffer? {
            try channel.writeInbound(part)
            if case .body(let own)? = try channel.readInbound(as: HTTPRequestPart.self) { return own }
            return nil
        }
        let head = HTTPRequestPart.head(HTTPRequest(method: .post, scheme: nil, authority: nil, path: "/"))
        let gone = String(repeating: "\u{0}", count: 5)
        #expect(try receive(head) == nil)
        let first = try #require(try receive(.body(ByteBuffer(string: "first"))))
        // The next one, before the first is answered.
        #expect(try receive(.end(nil)) == nil && receive(head) == nil)
        let later = try #require(try receive(.body(ByteBuffer(string: "later"))))
        try channel.writeOutbound(HTTPResponsePart.head(HTTPResponse(status: .ok)))
        #expect(String(buffer: first) == "first")
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        #expect(String(buffer: first) == gone && String(buffer: later) == "later")
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        #expect(String(buffer: later) == gone)
        // What comes of a body that was refused already.
        let rest = try #require(try receive(.body(ByteBuffer(string: "abcde"))))
        #expect(String(buffer: rest) == gone)
        // One that is never answered.
        #expect(try receive(head) == nil)
        let last = try #require(try receive(.body(ByteBuffer(string: "last!"))))
        channel.pipeline.fireChannelInactive()
        #expect(String(buffer: last) == "last!", "somebody may be reading it")
        channel.embeddedEventLoop.advanceTime(by: OwnedBodies.grace)
        #expect(String(buffer: last) == gone)
        _ = try channel.finish()
    }

    @Test func `a buffer is wiped together with those that share its memory`() {
        var read = ByteBuffer(string: "head|the secret|tail")
        let copy = read
        _ = read.readString(length: 5)
        let part = read.readSlice(length: 10)
        part?.wipe()
        let wiped = String(repeating: "\u{0}", count: 10)
        #expect(part.map { String(buffer: $0) } == wiped)
        #expect(String(buffer: read) == "|tail")
        #expect(String(buffer: copy) == "head|\(wiped)|tail")
        ByteBuffer().wipe()
    }
}

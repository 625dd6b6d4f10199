import AsyncHTTPClient
import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import Testing

@testable import BrokerHTTP

extension LiveBroker {
    /// A token for the broker itself.
    fileprivate func ownToken(_ scope: String) async throws -> String {
        let answer = try await exchange(subjectToken(), [("scope", scope)])
        return try #require(answer.text("access_token"), "\(answer.body)")
    }

    fileprivate func form(_ path: String, _ parameters: [(String, String)], _ headers: [(String, String)] = [])
        async throws -> Answer
    {
        let type = ("Content-Type", "application/x-www-form-urlencoded")
        return try await send(.POST, path, [type] + headers, body: Self.form(parameters))
    }

    fileprivate func status(of token: String) async throws -> Int {
        try await send(.GET, "/verify?scope=anthropic:messages", [("Authorization", "Bearer \(token)")]).status
    }
}

@Suite(.onOwnThreads) struct `POST /oauth/revoke` {
    @Test func `gives a token back, for good and at once`() async throws {
        let store = MemoryStore()
        try await LiveBroker.run(store: store) { broker in
            let token = try await broker.gatewayToken()
            let other = try await broker.gatewayToken(["jti": "other"])
            #expect(try await broker.status(of: token) == 200)
            let answer = try await broker.form("/oauth/revoke", [("token", token), ("token_type_hint", "wrong")])
            #expect(answer.status == 200 && answer.body.isEmpty)
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(try await broker.status(of: token) == 401)
            #expect(try await broker.status(of: other) == 200)
            let event = try #require(store.events.last)
            #expect(event.kind == .revoked && event.details["caller"]?.object?["sub"] == "ci:job")
            // What is revoked already, or no token of ours, leaves nothing behind.
            let count = store.events.count
            for nothing in [
                token, try broker.subjectToken(), "garbage", "a.b.c", String(repeating: "x", count: 20_000),
            ] {
                #expect(try await broker.form("/oauth/revoke", [("token", nothing)]).status == 200)
            }
            #expect(store.events.count == count)
            #expect(try await broker.status(of: other) == 200)
        }
    }

    @Test func `refuses what is no such request`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken()
            let cases: [([(String, String)], [(String, String)], Int)] = [
                ([], [], 400), ([("token", "")], [], 400), ([("token", token), ("token", token)], [], 400),
                ([("token", token)], [("Authorization", "Basic YTpi")], 401),
            ]
            for (parameters, headers, status) in cases {
                #expect(try await broker.form("/oauth/revoke", parameters, headers).status == status)
            }
            let json = try await broker.send(
                .POST, "/oauth/revoke", [("Content-Type", "application/json")], body: "{\"token\":\"\(token)\"}")
            #expect(json.status == 400)
            #expect(try await broker.send(.GET, "/oauth/revoke?token=\(token)").status == 405)
            #expect(try await broker.status(of: token) == 200)
        }
    }

    @Test func `answers 503 with applied and not durable where it cannot be recorded, and it holds`() async throws {
        let store = MemoryStore()
        try await LiveBroker.run(store: store) { broker in
            let token = try await broker.gatewayToken()
            store.fail(with: StoreFailure(.unavailable, "record", cause: "the disk is full"))
            let answer = try await broker.form("/oauth/revoke", [("token", token)])
            #expect(answer.status == 503)
            #expect(answer.json == ["applied": true, "durable": false])
            #expect(try await broker.status(of: token) == 401)
            store.fail(with: nil)
            await broker.revocations.retry()
            #expect(try await store.revocations().count == 1)
        }
    }
}

@Suite(.onOwnThreads) struct `POST /oauth/introspect` {
    @Test func `says what a good token says, to whoever may ask`() async throws {
        try await LiveBroker.run { broker in
            let bearer = ("Authorization", "Bearer \(try await broker.ownToken("daypass:introspect"))")
            let token = try await broker.gatewayToken()
            let answer = try await broker.form("/oauth/introspect", [("token", token)], [bearer])
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(answer.json["active"] == true && answer.text("sub") == "ci:job")
            #expect(answer.text("iss") == "https://broker.example.com")
            #expect(answer.text("aud") == "https://gateway.example.com" && answer.text("token_type") == "Bearer")
            #expect(answer.text("scope") == "anthropic:messages anthropic:count_tokens")
            #expect(answer.text("client_id") == "rule:ci" && answer.text("jti") != nil && answer.text("sid") != nil)
            let expiry = try #require(answer.json["exp"]?.number)
            #expect(expiry - (answer.json["iat"]?.number ?? 0) == 900)
            let detail = answer.json["authorization_details"]?.array?.first?.object
            #expect(detail == ["type": "daypass_models", "models": ["claude-sonnet-*"]])
            #expect(try await broker.form("/oauth/revoke", [("token", token)]).status == 200)
            let revoked = try await broker.form("/oauth/introspect", [("token", token)], [bearer])
            #expect(revoked.status == 200 && revoked.body == #"{"active":false}"#)
        }
    }

    @Test func `says nothing of any other token`() async throws {
        try await LiveBroker.run { broker in
            let own = try await broker.ownToken("daypass:introspect")
            for token in [own, "garbage", try broker.subjectToken()] {
                let answer = try await broker.form(
                    "/oauth/introspect", [("token", token)], [("Authorization", "Bearer \(own)")])
                #expect(answer.status == 200 && answer.body == #"{"active":false}"#)
            }
        }
    }

    @Test func `answers nobody else`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken()
            let feed = try await broker.ownToken("daypass:revocations")
            let cases: [([(String, String)], Int)] = [
                ([], 401), ([("Authorization", "Bearer \(token)")], 401), ([("Authorization", "Basic YTpi")], 401),
                ([("Authorization", "Bearer \(feed)")], 403), ([("Authorization", "Bearer")], 401),
            ]
            for (headers, status) in cases {
                let answer = try await broker.form("/oauth/introspect", [("token", token)], headers)
                #expect(answer.status == status, "\(headers)")
                #expect(answer.json["active"] == nil && answer.headers.first(name: "WWW-Authenticate") != nil)
            }
        }
    }
}

@Suite(.onOwnThreads) struct `GET /v1/revocations` {
    private static func events(
        _ broker: LiveBroker, _ token: String, last: String? = nil, over client: HTTPClient = .shared
    ) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(url: broker.origin + RevocationFeed.path)
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        request.headers.add(name: "Accept", value: "text/event-stream")
        if let last { request.headers.add(name: "Last-Event-ID", value: last) }
        return try await client.execute(request, timeout: .minutes(2))
    }

    /// The next event: its name, id and data. Comments are passed over.
    private struct EventReader {
        private var parts: AsyncThrowingStream<String, any Error>.Iterator
        private var text = ""

        init(_ body: HTTPClientResponse.Body) {
            let (stream, parts) = AsyncThrowingStream<String, any Error>.makeStream()
            self.parts = stream.makeAsyncIterator()
            let reading = Task {
                do {
                    for try await part in body { parts.yield(String(buffer: part)) }
                    parts.finish()
                } catch {
                    parts.finish(throwing: error)
                }
            }
            parts.onTermination = { _ in reading.cancel() }
        }

        mutating func next() async throws -> [String: String]? {
            while true {
                if let end = text.range(of: "\n\n") {
                    let block = text[..<end.lowerBound]
                    text.removeSubrange(..<end.upperBound)
                    guard !block.hasPrefix(":") else { continue }
                    let fields = block.split(separator: "\n").compactMap { line -> (String, String)? in
                        guard let colon = line.range(of: ": ") else { return nil }
                        return (String(line[..<colon.lowerBound]), String(line[colon.upperBound...]))
                    }
                    return Dictionary(uniqueKeysWithValues: fields)
                }
                guard let part = try await parts.next(isolation: #isolation) else { return nil }
                text += part
            }
        }
    }

    @Test func `lists what is revoked, without reasons and callers, and once for each tag`() async throws {
        try await LiveBroker.run { broker in
            let bearer = ("Authorization", "Bearer \(try await broker.ownToken("daypass:revocations"))")
            let empty = try await broker.send(.GET, RevocationFeed.path, [bearer])
            #expect(empty.status == 200 && empty.json == ["highest": 0, "revocations": []])
            let secret = "because of marker-4711"
            _ = try await broker.revocations.revoke(
                RevocationRequest(.subject("ci:other"), reason: secret, block: .init(until: nil)),
                by: .socket(uid: 4711, loginUID: nil, pid: 1))
            let tag = try #require(empty.headers.first(name: "ETag"))
            let listed = try await broker.send(.GET, RevocationFeed.path, [bearer, ("If-None-Match", tag)])
            #expect(listed.status == 200 && !listed.body.contains("4711"))
            let entry = try #require(listed.json["revocations"]?.array?.first?.object)
            #expect(entry["sequence"] == 1 && entry["kind"] == "subject" && entry["value"] == "ci:other")
            #expect(entry["block"] == [:])
            let same = try await broker.send(
                .GET, RevocationFeed.path,
                [bearer, ("If-None-Match", try #require(listed.headers.first(name: "ETag")))])
            #expect(same.status == 304 && same.body.isEmpty)
        }
    }

    @Test func `answers nobody without its scope`() async throws {
        try await LiveBroker.run { broker in
            let (gateway, other) = (try await broker.gatewayToken(), try await broker.ownToken("daypass:introspect"))
            for accept in ["application/json", "text/event-stream"] {
                let cases = [
                    ([], 401), ([("Authorization", "Bearer \(gateway)")], 401),
                    ([("Authorization", "Bearer \(other)")], 403),
                ]
                for (headers, status) in cases {
                    let answer = try await broker.send(.GET, RevocationFeed.path, headers + [("Accept", accept)])
                    #expect(answer.status == status)
                }
            }
            #expect(try await broker.send(.POST, RevocationFeed.path).status == 405)
        }
    }

    @Test func `streams the whole set and then each as it comes, from the last one that was seen`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.ownToken("daypass:revocations")
            let response = try await Self.events(broker, token)
            #expect(response.status == .ok && response.headers.first(name: "Content-Type") == "text/event-stream")
            var reader = EventReader(response.body)
            let set = try #require(try await reader.next())
            #expect(set["event"] == "set" && set["data"] == #"{"highest":0,"revocations":[]}"#)
            for number in 1...3 {
                let reason = "marker-4711"
                _ = try await broker.revocations.revoke(
                    RevocationRequest(.session(ExactString("s\(number)")), reason: reason), by: .daemon)
            }
            var last: [String: String] = [:]
            for number in 1...3 {
                last = try #require(try await reader.next())
                #expect(last["event"] == "revocation" && last["id"]?.hasSuffix("-\(number)") == true)
                #expect(last["data"]?.contains(#""value":"s\#(number)""#) == true)
                #expect(last["data"]?.contains("4711") == false)
            }
            let end = ContinuousClock.now + .seconds(60)
            while broker.revocations.followers(reached: 3) != (1, 0) {
                try #require(ContinuousClock.now < end)
                await Task.yield()
            }
            #expect(broker.revocations.followers(reached: 4) == (1, 1))
            let id = try #require(last["id"]).replacing("-3", with: "-1")
            let resumed = try await Self.events(broker, token, last: id)
            var second = EventReader(resumed.body)
            #expect(try await second.next()?["id"]?.hasSuffix("-2") == true)
            // Of another run, or of none: the whole set.
            for unknown in ["\(TraceID())-1", id.replacing("-1", with: "-4"), "x", "-1"] {
                let gap = try await Self.events(broker, token, last: unknown)
                var third = EventReader(gap.body)
                #expect(try await third.next()?["event"] == "set")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `sends the whole set anew when a block was lifted, and to whoever has missed that`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.ownToken("daypass:revocations")
            let (request, bearer) = (
                try RevocationRequest(.rule("main"), block: .init(until: nil)), ("Authorization", "Bearer \(token)")
            )
            _ = try await broker.revocations.revoke(request, by: .daemon)
            let listed = try await broker.send(.GET, RevocationFeed.path, [bearer])
            let tag = try #require(listed.headers.first(name: "ETag"))
            let response = try await Self.events(broker, token)
            var reader = EventReader(response.body)
            let set = try #require(try await reader.next())
            #expect(set["data"]?.contains(#""block":{}"#) == true)
            _ = try await broker.revocations.lift(RevocationRequest(.rule("main")), by: .daemon)
            let next = try #require(try await reader.next())
            #expect(next["event"] == "set" && next["data"]?.contains(#""sequence":1"#) == true)
            #expect(next["data"]?.contains("block") == false && next["id"] != set["id"])
            let resumed = try await Self.events(broker, token, last: set["id"])
            var second = EventReader(resumed.body)
            #expect(try await second.next()?["event"] == "set")
            let again = try await broker.send(.GET, RevocationFeed.path, [bearer, ("If-None-Match", tag)])
            #expect(again.status == 200 && !again.body.contains("block"), "\(again.body)")
        }
    }

    @Test func `ends with its caller's right to it`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.ownToken("daypass:revocations")
            let response = try await Self.events(broker, token)
            var reader = EventReader(response.body)
            #expect(try await reader.next()?["event"] == "set")
            _ = try await broker.revocations.revoke(RevocationRequest(.rule("gateways")), by: .daemon)
            // What ends it is told first: a gateway that is shut out has to know why its tokens are dead.
            let last = try #require(try await reader.next())
            #expect(last["event"] == "revocation" && last["data"]?.contains(#""value":"gateways""#) == true)
            #expect(try await reader.next() == nil)
        }
    }

    @Test func `gives one subject a quarter of the streams, and another one its own`() async throws {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 200
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        try await LiveBroker.run { broker in
            let token = try await broker.ownToken("daypass:revocations")
            var open: [HTTPClientResponse] = []
            for _ in 0..<FeedPlaces.maximumForSubject {
                let response = try await Self.events(broker, token, over: client)
                #expect(response.status == .ok)
                open.append(response)
            }
            let refused = try await Self.events(broker, token, over: client)
            #expect(refused.status == .serviceUnavailable && refused.headers.first(name: "Retry-After") == "10")
            // Another token of the subject is no other subject.
            let again = try await broker.ownToken("daypass:revocations")
            #expect(try await Self.events(broker, again, over: client).status == .serviceUnavailable)
            let answer = try await broker.exchange(
                broker.subjectToken(["sub": "other"]), [("scope", "daypass:revocations")])
            let other = try #require(answer.text("access_token"))
            let admitted = try await Self.events(broker, other, over: client)
            #expect(admitted.status == .ok)
            withExtendedLifetime((open, admitted)) {}
        }
        try await client.shutdown()
    }

    @Test func `ends when the broker stops`() async throws {
        let reading = Mailbox()
        try await LiveBroker.run { broker in
            let response = try await Self.events(broker, broker.ownToken("daypass:revocations"))
            var reader = EventReader(response.body)
            #expect(try await reader.next()?["event"] == "set")
            // `run` returns when all is drained: with a stream that does not end it would not.
            await reading.keep(response)
        }
    }

    private actor Mailbox {
        private var response: HTTPClientResponse?

        func keep(_ response: HTTPClientResponse) { self.response = response }
    }
}

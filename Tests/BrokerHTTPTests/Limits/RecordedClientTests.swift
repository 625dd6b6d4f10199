import Broker
import BrokerTesting
import JOSE
import NIOHTTP1
import Testing

/// Whose address is on record: the one that trusted proxies vouch for, and never one that a client made up.
@Suite(.onOwnThreads) struct `The recorded client address` {
    /// An exchange, a renewal, a narrowing and one refusal of each path, all with these lines of `X-Forwarded-For`.
    private func everyKind(_ broker: LiveBroker, _ forwarded: [String]) async throws {
        let headers = forwarded.map { ("X-Forwarded-For", $0) }
        let granted = try await broker.token(LiveBroker.exchangeParameters(try broker.subjectToken()), headers)
        let token = try #require(granted.text("access_token"), "\(granted.body)")
        let access = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ]
        for (more, status) in [([], 200), ([("scope", "anthropic:messages")], 200), ([("scope", "a:b")], 400)] {
            #expect(try await broker.token(access + more, headers).status == status)
        }
        let wrongBranch = try broker.subjectToken(["ref": "x"])
        #expect(try await broker.token(LiveBroker.exchangeParameters(wrongBranch), headers).status == 400)
        let expired = try broker.subjectToken(["exp": 1000, "iat": 900])
        let call: JSONObject = [
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": .string(ExactString(expired)),
        ]
        let json = ("Content-Type", "application/json")
        let body = String(decoding: call.encoded(), as: UTF8.self)
        #expect(try await broker.send(.POST, "/v1/oauth/token", [json] + headers, body: body).status == 401)
        for garbage in ["jwt", "access_token"] {
            let parameters = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", "garbage"),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:\(garbage)"),
            ]
            #expect(try await broker.token(parameters, headers).status == 400)
        }
    }

    @Test(
        arguments: [
            (["127.0.0.1"], ["192.0.2.7"], "192.0.2.7"),
            (["127.0.0.1"], ["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            (["127.0.0.1"], ["6.6.6.6", "192.0.2.7"], "192.0.2.7"),
            (["127.0.0.1", "10.0.0.0/8"], ["6.6.6.6, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),
            (["127.0.0.1"], ["[2001:DB8:0:0::7]:443"], "2001:db8::7"),
            (["127.0.0.1"], ["::ffff:192.0.2.7"], "192.0.2.7"),
            (["127.0.0.1"], ["6.6.6.6, not-an-address"], "127.0.0.1"),
            (["127.0.0.1"], [], "127.0.0.1"),
            (["10.0.0.0/8"], ["6.6.6.6"], "127.0.0.1"),
            ([], ["6.6.6.6"], "127.0.0.1"),
        ] as [([String], [String], String)])
    func `is the one behind trusted proxies, of whatever is granted or refused`(
        _ proxies: [String], _ forwarded: [String], _ client: String
    ) async throws {
        let (store, log) = (MemoryStore(), LogRecorder())
        try await LiveBroker.run(store: store, trustedProxies: proxies, log: log) { broker in
            try await everyKind(broker, forwarded)
        }
        #expect(
            store.events.map(\.kind) == [
                .exchangeGranted, .sessionRenewed, .sessionNarrowed, .exchangeRefused, .exchangeRefused,
                .exchangeRefused,
            ])
        for event in store.events { #expect(event.details["client"] == .string(ExactString(client)), "\(event)") }
        let refusals = log.lines.filter { $0.contains(" refused ") }
        #expect(refusals.count == 5, "\(log.text)")
        for line in refusals { #expect(line.contains(" client=\(client) "), "\(line)") }
        #expect(!log.text.contains("6.6.6.6"))
    }

    @Test func `is logged with an outage as well`() async throws {
        let (store, log) = (MemoryStore(), LogRecorder())
        store.fail(with: StoreFailure(.unavailable, "record", cause: "disk full"))
        try await LiveBroker.run(store: store, trustedProxies: ["127.0.0.1"], log: log) { broker in
            let parameters = LiveBroker.exchangeParameters(try broker.subjectToken())
            #expect(try await broker.token(parameters, [("X-Forwarded-For", "192.0.2.7")]).status == 503)
        }
        let line = try #require(log.lines.first { $0.contains("exchange unavailable") })
        #expect(line.contains(" client=192.0.2.7 "), "\(line)")
    }
}

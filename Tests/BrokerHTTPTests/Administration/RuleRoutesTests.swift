import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `The routes of rules` {
    @Test func `GET rules and rules/who answer 200 with pages`() async throws {
        try await LiveAdministration.run { live in
            let list = try await live.send(.GET, "rules?limit=5")
            #expect(list.status == 200 && list.json["rules"] == [], "\(list.body)")
            let who = try await live.send(.GET, "rules/who?scope=anthropic%3Amessages&limit=1")
            #expect(who.status == 200 && who.text("next") == "1", "\(who.body)")
            let rule = try #require(who.json["rules"]?.array?.first?.object)
            #expect(rule["rule"] == "ci-main" && rule["shared"] == false && rule["cautions"] == [])
        }
    }

    @Test func `POST rules/test hands on what is tested, claims as an object or as text`() async throws {
        try await LiveAdministration.run { live in
            let body =
                #"{"claims":{"sub":"a","n":{"x":[1]}},"issuer":"ci","scope":"a:b c:d","rule":"r","federation":{"#
                + #""organization_id":"o"},"rules":[{"name":"f.yaml","text":"rules: []\n"}]}"#
            let answer = try await live.send(.POST, "rules/test", body)
            #expect(answer.status == 200 && answer.json["granted"] == false, "\(answer.body)")
            #expect(answer.text("reason") == "no_rule" && answer.text("subject") == "ci:ada")
            var order = AdministrationAPI.RuleTest(claims: ["sub": "a", "n": ["x": [1]]])
            order.source = .issuer("ci")
            order.scope = ["a:b", "c:d"].compactMap { Scope(parsing: $0) }
            order.rule = "r"
            order.federation[.organization] = "o"
            order.documents = [.init(name: "f.yaml", text: "rules: []\n")]
            #expect(live.fake.calls.tests == [order])
            let text = try await live.send(
                .POST, "rules/test", #"{"claims":"{\"sub\":\"spiffe://a/b\"}","trust_domain":"a"}"#)
            #expect(text.status == 200, "\(text.body)")
            #expect(live.fake.calls.tests.last?.claims == ["sub": "spiffe://a/b"])
            #expect(live.fake.calls.tests.last?.source == .trustDomain("a"))
            #expect(live.fake.calls.lines == [], "it changes nothing")
        }
    }

    @Test func `POST rules/replay hands on what is replayed, and a part says where the next begins`() async throws {
        try await LiveAdministration.run { live in
            live.fake.find(replaying: [
                .init(counts: .init(), groups: [], next: HistoryPosition(done: 5, last: 9), warnings: ["w"])
            ])
            let body =
                #"{"rules":[{"name":"a","text":"x"},{"name":"b","text":"y"}],"since":"2026-01-01T00:00:00Z","#
                + #""until":"2026-02-01T00:00:00.250Z","cursor":"3-9"}"#
            let answer = try await live.send(.POST, "rules/replay", body)
            #expect(answer.status == 200 && answer.text("next") == "5-9", "\(answer.body)")
            #expect(answer.json["gains"] == 0 && answer.json["warnings"] == ["w"])
            let order = try #require(live.fake.calls.replays.first)
            #expect(order.documents.map(\.name) == ["a", "b"] && order.position == HistoryPosition(done: 3, last: 9))
            #expect(order.since == Date(timeIntervalSince1970: 1_767_225_600))
            #expect(order.until == Date(timeIntervalSince1970: 1_769_904_000.25))
        }
    }

    @Test(
        arguments: [
            ("GET", "rules/", nil, 404), ("GET", "rules/x", nil, 404), ("GET", "rules/who/x", nil, 404),
            ("POST", "rules", nil, 405), ("GET", "rules/test", nil, 405), ("GET", "rules/replay", nil, 405),
            ("POST", "rules/who", nil, 405), ("GET", "rules?scope=a", nil, 400), ("GET", "rules/who", nil, 400),
            ("GET", "rules/who?scope=a%20b", nil, 400), ("GET", "rules/who?scope=a&scope=b", nil, 400),
            ("GET", "rules/who?scope=%22", nil, 400), ("POST", "rules/test?x=1", "{}", 400),
        ] as [(String, String, String?, Int)])
    func `refuse what they do not know`(
        _ method: String, _ path: String, _ body: String?, _ status: Int
    ) async throws {
        try await LiveAdministration.run { live in
            let answer = try await live.send(HTTPMethod(rawValue: method), path, body)
            #expect(answer.status == status, "\(answer.body)")
            #expect(live.fake.calls.tests.isEmpty && live.fake.calls.replays.isEmpty)
        }
    }

    @Test(arguments: [
        ("test", ""), ("test", "{}"), ("test", "[]"), ("test", #"{"claims":[]}"#), ("test", #"{"claims":"[]"}"#),
        ("test", #"{"claims":null}"#), ("test", #"{"claims":{},"claims":{}}"#), ("test", #"{"claims":{},"dry":true}"#),
        ("test", #"{"claims":{"a":1,"a":2}}"#), ("test", #"{"claims":"{\"a\":1,\"a\":2}"}"#),
        ("test", #"{"claims":{"n":9007199254740993}}"#), ("test", #"{"claims":{"n":1e400}}"#),
        ("test", #"{"claims":{"d":[[[[[[[[[[]]]]]]]]]]}}"#), ("test", #"{"claims":"{\"d\":[[[[[[[[[]]]]]]]]]}"}"#),
        ("test", #"{"claims":"\#(String(repeating: " ", count: 16_385))"}"#),
        ("test", #"{"claims":{"a":"\#(String(repeating: "a", count: 16_377))"}}"#),
        ("test", #"{"claims":{},"issuer":"a","trust_domain":"b"}"#), ("test", #"{"claims":{},"issuer":""}"#),
        ("test", #"{"claims":{},"issuer":["a"]}"#), ("test", #"{"claims":{},"scope":"\""}"#),
        ("test", #"{"claims":{},"scope":" "}"#), ("test", #"{"claims":{},"scope":["a"]}"#),
        ("test", #"{"claims":{},"rule":"\#(String(repeating: "r", count: 129))"}"#),
        ("test", #"{"claims":{},"rule":"a\u0000"}"#), ("test", #"{"claims":{},"federation":{"x":"y"}}"#),
        ("test", #"{"claims":{},"federation":{"organization_id":1}}"#), ("test", #"{"claims":{},"rules":[]}"#),
        ("test", #"{"claims":{},"rules":"rules: []"}"#), ("test", #"{"claims":{},"rules":[{"name":"a"}]}"#),
        ("test", #"{"claims":{},"rules":[{"name":"a","text":"x","more":1}]}"#),
        ("test", #"{"claims":{},"rules":[{"name":"a\n","text":"x"}]}"#),
        ("replay", #"{"since":"2026-01-01T00:00:00Z"}"#), ("replay", #"{"rules":[{"name":"a","text":"x"}]}"#),
        ("replay", #"{"rules":[{"name":"a","text":"x"}],"since":"yesterday"}"#),
        ("replay", #"{"rules":[{"name":"a","text":"x"}],"since":1767225600}"#),
        (
            "replay",
            #"{"rules":[{"name":"a","text":"x"}],"since":"2026-01-01T00:00:00Z","until":"2026-01-01T00:00:00Z"}"#
        ),
        ("replay", #"{"rules":[{"name":"a","text":"x"}],"since":"2026-01-01T00:00:00Z","cursor":"5"}"#),
        ("replay", #"{"rules":[{"name":"a","text":"x"}],"since":"2026-01-01T00:00:00Z","cursor":"9-5"}"#),
        ("replay", #"{"rules":[{"name":"a","text":"x"}],"since":"2026-01-01T00:00:00Z","cursor":"-1-5"}"#),
        ("replay", #"{"rules":[{"name":"a","text":"x"}],"since":"2026-01-01T00:00:00Z","cursor":"05-9"}"#),
        (
            "replay",
            #"{"rules":[{"name":"a","text":"x"}],"since":"2026-01-01T00:00:00Z","cursor":"1-99999999999999999999"}"#
        ),
    ])
    func `refuse a hostile body with 400 and in words`(_ route: String, _ body: String) async throws {
        try await LiveAdministration.run { live in
            let answer = try await live.send(.POST, "rules/\(route)", body)
            #expect(
                answer.status == 400 && answer.text("error") == "invalid_request", "\(answer.status) \(answer.body)")
            #expect(live.fake.calls.tests.isEmpty && live.fake.calls.replays.isEmpty)
        }
    }

    @Test func `take as much as rules may have, and answer 413 to more`() async throws {
        try await LiveAdministration.run { live in
            func body(_ count: Int) -> String {
                let start = #"{"claims":{},"rules":[{"name":"a","text":""#
                return start + String(repeating: "#", count: count - start.utf8.count - 4) + #""}]}"#
            }
            let most = try await live.send(.POST, "rules/test", body(1000 * 1024))
            #expect(most.status == 200, "\(most.body.prefix(200))")
            let more = try await live.send(.POST, "rules/test", body(1000 * 1024 + 1))
            #expect(more.status == 413 && more.text("error") == "too_long", "\(more.body)")
            #expect(more.text("message") == "the body is longer than 1024000 bytes")
            #expect(live.fake.calls.tests.count == 1)
        }
    }
}

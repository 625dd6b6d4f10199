import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `The administration routes` {
    private static let sessions = (0..<3).map {
        Sample.session("s\($0)", subject: $0 == 0 ? "ci:a" : "ci:b", claims: ["email": $0 == 2 ? "x@y" : "a@b"])
    }

    @Test func `GET keys answers 200 with each key's state`() async throws {
        try await LiveAdministration.run { live in
            let answer = try await live.send(.GET, "keys")
            #expect(answer.status == 200)
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(answer.headers.first(name: "Daypass-Trace-Id")?.count == 32)
            let keys = try #require(answer.json["keys"]?.array)
            #expect(keys.map { $0.object?["state"] } == ["retiring", "active", "staged"])
            #expect(
                keys.first?.object == [
                    "kid": "old-key", "algorithm": "ES256", "state": "retiring", "created": "2027-01-15T08:00:00Z",
                    "since": "2027-01-15T08:01:00Z",
                ])
        }
    }

    @Test func `mutations name who asked, with the response's trace id`() async throws {
        try await LiveAdministration.run { live in
            let rotated = try await live.send(.POST, "keys/rotate")
            #expect(rotated.status == 200 && rotated.text("active") == "staged-key", "\(rotated.body)")
            #expect(try await live.send(.POST, "keys/rotate", #"{"force":true}"#).status == 200)
            #expect(try await live.send(.POST, "keys/staged-key/activate", "{}").status == 200)
            #expect(try await live.send(.POST, "rules/reload").status == 200)
            #expect(
                live.fake.calls.lines == ["rotate force=false", "rotate force=true", "activate staged-key", "reload"])
            let contexts = live.fake.calls.contexts
            #expect(contexts.first?.trace.description == rotated.headers.first(name: "Daypass-Trace-Id"))
            let (uid, pid) = (getuid(), getpid())
            for context in contexts {
                guard case .socket(let user, _, let process) = context.caller else {
                    Issue.record("\(context.caller)")
                    continue
                }
                #expect(user == uid && process == pid)
            }
        }
    }

    @Test func `revocations are ordered, shown and numbered; one of a key is the key ring's`() async throws {
        try await LiveAdministration.run(sessions: Self.sessions) { live in
            let order =
                #"{"kind":"subject","value":"ci:b","reason":"left","block":true,"until":"2999-01-01T00:00:00Z"}"#
            let preview = try await live.send(
                .POST, "revocations", order.replacing("{", with: #"{"dry_run":true,"#))
            #expect(preview.status == 200 && preview.json["session_count"] == 2, "\(preview.body)")
            #expect(preview.json["sessions"]?.array?.count == 2)
            #expect(live.fake.calls.lines == [])
            let made = try await live.send(.POST, "revocations", order)
            #expect(made.status == 200 && made.json["durable"] == true, "\(made.body)")
            #expect(
                live.fake.calls.orders == [
                    .init(
                        .subject, .value("ci:b"), reason: "left",
                        block: .init(until: Date(timeIntervalSince1970: 32_472_144_000)))
                ])
            let key = try await live.send(.POST, "revocations", #"{"kind":"key","value":"active-key"}"#)
            #expect(key.status == 200, "\(key.body)")
            #expect(live.fake.calls.lines == ["revoke subject", "revoke key active-key"])
            let list = try await live.send(.GET, "revocations")
            #expect(list.json["revocations"]?.array?.map { $0.object?["sequence"] } == [2, 1])
            let one = try await live.send(.GET, "revocations/1")
            #expect(one.status == 200 && one.text("until") == "2999-01-01T00:00:00Z", "\(one.body)")
            #expect(try await live.send(.GET, "revocations/3").status == 404)
        }
    }

    @Test func `a block that ends in some seconds ends by the broker's clock`() async throws {
        try await LiveAdministration.run { live in
            let before = Date()
            let body = #"{"kind":"subject","value":"ci:a","block":true,"until_in":90}"#
            #expect(try await live.send(.POST, "revocations", body).status == 200)
            let end = try #require(live.fake.calls.orders.first?.block?.until).timeIntervalSince1970
            let bounds = before.timeIntervalSince1970 + 90...Date().timeIntervalSince1970 + 91
            #expect(bounds.contains(end) && end == end.rounded())
            let past = #"{"kind":"subject","value":"ci:a","block":true,"until":"2001-01-01T00:00:00Z"}"#
            let refused = try await live.send(.POST, "revocations", past)
            let message = try #require(refused.text("message"))
            #expect(message.hasPrefix("until is 2001-01-01T00:00:00Z, which is past: the broker's clock says 2"))
        }
    }

    @Test func `POST unblock lifts a block by name, and shows it before`() async throws {
        try await LiveAdministration.run { live in
            let body = #"{"kind":"subject","value":"ci:b","reason":"back"}"#
            let none = try await live.send(.POST, "unblock", body)
            #expect(none.status == 404 && none.text("message") == "subject ci:b is not blocked", "\(none.body)")
            for block in [#","block":true"#, #","block":true,"until":"2999-01-01T00:00:00Z""#] {
                _ = try await live.send(.POST, "revocations", #"{"kind":"subject","value":"ci:b"\#(block)}"#)
            }
            let calls = live.fake.calls.lines
            let preview = try await live.send(.POST, "unblock", body.replacing("{", with: #"{"dry_run":true,"#))
            #expect(
                preview.json == [
                    "dry_run": true, "kind": "subject", "value": "ci:b",
                    "block": ["until": "2999-01-01T00:00:00Z"], "warnings": [],
                ], "\(preview.body)")
            #expect(live.fake.calls.lines == calls)
            let lifted = try await live.send(.POST, "unblock", body)
            #expect(lifted.status == 200 && lifted.json["lifted"] == true, "\(lifted.body)")
            #expect(lifted.json["revocations"] == [1, 2])
            #expect(live.fake.calls.lines.last == "lift subject")
            #expect(live.fake.calls.orders.last == .init(.subject, .value("ci:b"), reason: "back"))
        }
    }

    @Test(arguments: [
        "", "{}", #"{"kind":"session","value":"s"}"#, #"{"kind":"all","value":"x"}"#, #"{"kind":"subject"}"#,
        #"{"kind":"subject","value":"a","block":true}"#, #"{"kind":"subject","value":"a","until_in":1}"#,
        #"{"kind":"subject","where":{"claim":"a","value":"b"}}"#, #"{"kind":"all","dry_run":"yes"}"#,
        #"{"kind":"rule","value":"eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}"#,
    ])
    func `refuse a hostile order to lift a block`(_ body: String) async throws {
        try await LiveAdministration.run { live in
            let answer = try await live.send(.POST, "unblock", body)
            #expect(answer.status == 400 && answer.text("error") == "invalid_request", "\(answer.body)")
            #expect(live.fake.calls.lines == [])
        }
    }

    @Test func `findings stand in the answer, and a key that is not there has no preview`() async throws {
        try await LiveAdministration.run { live in
            live.fake.find(.init(warnings: ["odd"], block: .init(), issuersWithoutClaim: ["ci"]))
            for body in [#"{"kind":"all","dry_run":true}"#, #"{"kind":"all"}"#] {
                let answer = try await live.send(.POST, "revocations", body)
                #expect(answer.json["warnings"] == ["odd"] && answer.json["block_in_force"] == [:], "\(answer.body)")
                #expect(answer.json["issuers_without_claim"] == ["ci"])
            }
            let key = try await live.send(.POST, "revocations", #"{"kind":"key","value":"k","dry_run":true}"#)
            #expect(key.status == 404 && key.text("message") == "there is no signing key k", "\(key.body)")
        }
    }

    @Test func `a claim revokes each session that has it`() async throws {
        try await LiveAdministration.run(sessions: Self.sessions) { live in
            let body = #"{"kind":"session","where":{"claim":"email","value":"a@b"}}"#
            let made = try await live.send(.POST, "revocations", body)
            #expect(made.json["revocations"]?.array?.map { $0.object?["value"] } == ["s0", "s1"])
        }
    }

    @Test func `what is in force and not recorded answers 503 and says both`() async throws {
        try await LiveAdministration.run { live in
            live.fake.delayRecording(byReads: 2)
            let made = try await live.send(.POST, "revocations", #"{"kind":"all"}"#)
            #expect(made.status == 503 && made.text("error") == "not_durable")
            #expect(made.json["applied"] == true && made.json["durable"] == false)
            #expect(made.headers.first(name: "Retry-After") == "1")
            #expect(try await live.send(.GET, "revocations/1").json["durable"] == false)
            #expect(try await live.send(.GET, "revocations/1").json["durable"] == true)
        }
    }

    @Test func `sessions are filtered and come in pages`() async throws {
        try await LiveAdministration.run(sessions: Self.sessions) { live in
            let first = try await live.send(.GET, "sessions?limit=2")
            #expect(first.json["sessions"]?.array?.map { $0.object?["sid"] } == ["s0", "s1"])
            let cursor = try #require(first.text("next"))
            let second = try await live.send(.GET, "sessions?limit=2&cursor=\(cursor)")
            #expect(second.json["sessions"]?.array?.map { $0.object?["sid"] } == ["s2"])
            #expect(second.json["next"] == nil)
            let query = "subject=ci%3Ab&rule=ci-main&issuer=ci&claim=email%3Da%3Db"
            #expect(try await live.send(.GET, "sessions?\(query)").json["sessions"]?.array?.count == 2)
            let filter = try #require(live.fake.calls.filters.last)
            #expect(
                filter
                    == .init(
                        subject: "ci:b", rule: "ci-main", issuer: "ci", claim: .init(name: "email", value: "a=b")))
            _ = try await live.send(.GET, "sessions?email=ada%40example.com")
            #expect(live.fake.calls.filters.last?.signIn == .email("ada@example.com"))
            _ = try await live.send(.GET, "sessions?signed_in=true")
            #expect(live.fake.calls.filters.last?.signIn == .any)
            let one = try await live.send(.GET, "sessions/s2")
            #expect(one.json["claims"]?.object?["email"] == "x@y", "\(one.body)")
            #expect(first.json["sessions"]?.array?.first?.object?["claims"] == nil)
            #expect(try await live.send(.GET, "sessions/s9").status == 404)
        }
    }

    @Test(arguments: [
        ("GET", "", 404), ("GET", "nothing", 404), ("GET", "keys/", 404), ("GET", "keys/x/activate/y", 404),
        ("POST", "keys/a%2Fb/activate", 404), ("POST", "keys/\(String(repeating: "k", count: 129))/activate", 404),
        ("GET", "sessions/", 404), ("GET", "sessions/a.b", 404), ("GET", "revocations/01", 404),
        ("GET", "revocations/-1", 404), ("GET", "revocations/x", 404), ("GET", "revocations/18446744073709551616", 404),
        ("DELETE", "keys", 405), ("GET", "keys/rotate", 405), ("GET", "rules/reload", 405), ("GET", "unblock", 405),
        ("PUT", "revocations", 405),
        ("HEAD", "keys", 405), ("POST", "sessions", 405),
        ("POST", "revocations?dry_run=true", 400), ("GET", "keys?x=1", 400), ("GET", "sessions?sub=x", 400),
        ("GET", "sessions?subject=a&subject=b", 400), ("GET", "sessions?limit=0", 400),
        ("GET", "sessions?signed_in=false", 400),
        ("GET", "sessions?signed_in=true&email=a", 400), ("GET", "sessions?email=", 400),
        ("GET", "sessions?limit=1001", 400), ("GET", "sessions?limit=01", 400), ("GET", "sessions?limit=-1", 400),
        ("GET", "sessions?cursor=a%2Fb", 400), ("GET", "sessions?cursor=\(String(repeating: "1", count: 257))", 400),
        ("GET", "sessions?cursor=9", 400), ("GET", "sessions?claim=email", 400), ("GET", "sessions?claim=%3Dx", 400),
        ("GET", "sessions?claim=email%3D", 400), ("GET", "sessions?subject=%00", 400),
    ])
    func `refuse what they do not know, in words`(_ method: String, _ path: String, _ status: Int) async throws {
        try await LiveAdministration.run { live in
            let answer = try await live.send(HTTPMethod(rawValue: method), path)
            #expect(answer.status == status, "\(answer.body)")
            guard method != "HEAD" else { return }
            #expect(answer.text("error") != nil && answer.text("message") != nil)
            #expect(answer.text("trace_id") == answer.headers.first(name: "Daypass-Trace-Id"))
            if status == 405 { #expect(answer.headers.first(name: "Allow") != nil) }
            #expect(live.fake.calls.lines == [])
        }
    }

    @Test(arguments: [
        "", "{", "[]", "null", #"{"kind":"all"}x"#, "{}", #"{"kind":"ALL"}"#, #"{"kind":1}"#, #"{"kind":"key"}"#,
        #"{"kind":"all","value":"x"}"#, #"{"kind":"all","kind":"key","value":"x"}"#, #"{"kind":"all","dryrun":true}"#,
        #"{"kind":"all","dry_run":"true"}"#, #"{"kind":"all","dry_run":1}"#,
        #"{"kind":"token","value":"eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}"#, #"{"kind":"session","value":"ci:ada"}"#,
        #"{"kind":"key","value":"a key"}"#, #"{"kind":"session","value":"s","block":true}"#,
        #"{"kind":"subject","value":""}"#,
        #"{"kind":"subject","value":"a\u0000"}"#, #"{"kind":"subject","value":["a"]}"#,
        #"{"kind":"subject","value":"a","until":"2999-01-01T00:00:00Z"}"#,
        #"{"kind":"subject","value":"a","block":true,"until":"2001-01-01T00:00:00Z"}"#,
        #"{"kind":"subject","value":"a","block":true,"until":"tomorrow"}"#,
        #"{"kind":"subject","value":"a","block":true,"until":4102444800}"#,
        #"{"kind":"subject","value":"a","until_in":60}"#,
        #"{"kind":"subject","value":"a","block":true,"until_in":0}"#,
        #"{"kind":"subject","value":"a","block":true,"until_in":-1}"#,
        #"{"kind":"subject","value":"a","block":true,"until_in":1.5}"#,
        #"{"kind":"subject","value":"a","block":true,"until_in":"60"}"#,
        #"{"kind":"subject","value":"a","block":true,"until_in":1e300}"#,
        #"{"kind":"subject","value":"a","block":true,"until_in":60,"until":"2999-01-01T00:00:00Z"}"#,
        #"{"kind":"subject","value":"eyJhbGciOiJFUzI1NiJ9.e30.c2ln","block":true}"#,
        #"{"kind":"rule","value":"eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}"#,
        #"{"kind":"subject","where":{"claim":"email","value":"a"}}"#,
        #"{"kind":"session","value":"s","where":{"claim":"email","value":"a"}}"#,
        #"{"kind":"session","where":{"claim":"email"}}"#, #"{"kind":"session","where":{"claim":"","value":"a"}}"#,
        #"{"kind":"session","where":{"claim":"email","value":"a","or":"b"}}"#, #"{"kind":"session","where":"email=a"}"#,
        #"{"kind":"all","reason":"\#(String(repeating: "r", count: 513))"}"#, #"{"kind":"all","reason":"a\nb"}"#,
        #"{"kind":"subject","value":"\#(String(repeating: "v", count: 2049))"}"#,
        "{\"kind\":\"all\",\"reason\":\"\u{1F}\"}",
        #"{"kind":"all","reason":[[[[[]]]]]}"#,
    ])
    func `refuse a hostile order, and revoke nothing`(_ body: String) async throws {
        try await LiveAdministration.run { live in
            let answer = try await live.send(.POST, "revocations", body)
            #expect(
                answer.status == 400 && answer.text("error") == "invalid_request", "\(answer.status) \(answer.body)")
            #expect(live.fake.calls.lines == [])
        }
    }

    @Test func `take a body only as JSON, where one is expected, and of 16 KiB at most`() async throws {
        try await LiveAdministration.run { live in
            for type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
                let answer = try await live.send(
                    .POST, "revocations", #"{"kind":"all"}"#, headers: [("Content-Type", type)])
                #expect(answer.status == 400, "\(type)")
            }
            #expect(
                try await live.send(
                    .POST, "revocations", #"{"kind":"all"}"#, headers: [("X-None", "1")]
                ).status == 400)
            #expect(try await live.send(.GET, "keys", "{}").status == 400)
            #expect(try await live.send(.POST, "rules/reload", #"{"force":true}"#).status == 400)
            let long = #"{"kind":"all"}"# + String(repeating: " ", count: 16 * 1024)
            let answer = try await live.send(.POST, "revocations", long)
            #expect(answer.status == 413 && answer.text("error") == "too_long", "\(answer.body)")
            #expect(live.fake.calls.lines == [])
            let typed = try await live.send(
                .POST, "revocations", #"{"kind":"all"}"#,
                headers: [("Content-Type", "Application/JSON; charset=utf-8")])
            #expect(typed.status == 200, "\(typed.body)")
        }
    }

    @Test(arguments: [
        (AdministrationFailure.conflict("it is retired"), 409, "conflict"), (.notFound("none"), 404, "not_found"),
        (.invalid("no"), 400, "invalid_request"), (.unavailable("the disk is full"), 503, "unavailable"),
    ])
    func `say why nothing was done`(_ failure: AdministrationFailure, _ status: Int, _ code: String) async throws {
        try await LiveAdministration.run { live in
            live.fake.fail(with: failure)
            for path in ["keys/rotate", "rules/reload"] {
                let answer = try await live.send(.POST, path)
                #expect(answer.status == status && answer.text("error") == code, "\(answer.body)")
            }
        }
    }

    @Test func `GET issuers says how each issuer's keys are`() async throws {
        let clock = SystemClock()
        let issuer = try TestIssuer(algorithm: .ES256)
        let name = try #require(IssuerName(parsing: "ci"))
        let keys = try issuer.keySet
        let configuration = IssuerConfiguration(
            name: name, issuer: ExactString(issuer.issuer), audience: "https://daypass.example.com",
            keys: .inline(keys, path: "issuer.json"), algorithms: [.ES256])
        let trusted = TrustedIssuer(
            configuration: configuration, keys: IssuerKeys(name: name, keys: keys, clock: clock))
        try await LiveAdministration.run({ $0.administration(issuers: [trusted]) }) { live in
            let answer = try await live.send(.GET, "issuers")
            #expect(
                answer.json["issuers"] == [
                    ["name": "ci", "issuer": .string(ExactString(issuer.issuer)), "usable": true, "keys": 1]
                ], "\(answer.body)")
        }
    }
}

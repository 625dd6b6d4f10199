import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// `daypass rules`, over fakes and with a real broker.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `The administrators' command for rules` {
    private static let hostile: ExactString = "ci:\u{1B}[2K\u{202E}eve\u{200B}"

    private static func attempt() throws -> RuleAttempt {
        let claim = try #require(ClaimPath(parsing: "ref"))
        let scope = try #require(Scope(parsing: "a:b"))
        let terms = try #require(
            GrantTerms(
                scope: [scope], timeToLive: .seconds(900), audiences: ["aud"]))
        let matcher = ClaimMatcher(claim: claim, anyOf: [.text(try Glob(parsing: "main"))])
        let rule = try #require(Rule(name: "ci-main", issuer: Sample.issuer, matchers: [matcher], terms: terms))
        let rules = try RuleSet(
            [rule],
            issuers: [
                IssuerConfiguration(name: Sample.issuer, issuer: "https://ci.example.com", audience: "a")
            ], broker: "https://broker.example.com")
        let question = RuleQuestion(
            issuer: Sample.issuer, claims: KnownClaims(all: ["ref": "\u{1B}[31m\u{202E}dev"]))
        return try #require(rules.attempts(question).first)
    }

    @Test func `shows what a test says, claim by claim and nothing that a terminal obeys, and ends with 1`()
        async throws
    {
        let attempt = try Self.attempt()
        try await AdministeredBroker.run { broker in
            broker.fake.find(
                .init(
                    subject: Self.hostile, answer: .refused(.noRule), terms: nil, attempts: [attempt], omittedRules: 2,
                    warnings: ["aud is not \u{1B}[2Kx"]))
            try broker.workspace.write("claims.json", #"{"sub": "x"}"#)
            let file = broker.workspace.path("claims.json")
            let shown = try await broker.daypass("rules", "test", "--claims", file, "--issuer", "ci")
            #expect(shown.status == 1)
            #expect(
                shown.output == """
                    subject  ci:\\u{1B}[2K\\u{202E}eve\\u{200B}
                    granted  no

                    RULE               CLAIM  WANTED  GOT                    HELD
                    ci-main (nearest)  ref    main    \\u{1B}[31m\\u{202E}dev  NO
                    and 2 more rules, further away

                    The nearest rule would match with:
                      ref being main
                        or, where it is to be let in, with this line in the place of the rule's own: "ref": ["main","\\u001b[31m\\u202edev"]

                    """)
            #expect(
                shown.error == """
                    warning: aud is not \\u{1B}[2Kx
                    daypass: nothing would be granted: no rule matches

                    """)
            let json = try await broker.daypass(
                "rules", "test", "--claims", file, "--json", "--scope", "a:b", "--scope", "c:d")
            #expect(json.status == 1)
            #expect(json.output.unicodeScalars.allSatisfy { $0 == "\n" || (" "..."~").contains($0) })
            #expect(try JSONReader.readObject(Array(json.output.utf8))["granted"] == false)
            #expect(broker.fake.calls.tests.last?.scope?.map(\.text) == ["a:b", "c:d"])
        }
    }

    @Test func `hands on the claims to the byte, from a file or standard input`() async throws {
        try await AdministeredBroker.run { broker in
            // What another reader of JSON would take the last of, or round.
            for (text, words) in [
                (#"{"sub":"a","sub":"b"}"#, "the claims are"), (#"{"n":9007199254740993}"#, "the claims are"),
                ("[]", "the claims are"), ("{\"s\":\"\u{0}\"}", "the claims are"),
            ] {
                try broker.workspace.write("claims.json", text)
                let outcome = try await broker.daypass(
                    "rules", "test", "--claims", broker.workspace.path("claims.json"))
                #expect(outcome.status == 1 && outcome.error.contains(words), "\(outcome.error)")
            }
            #expect(broker.fake.calls.tests.isEmpty)
            let script = "printf '{\"sub\": \"é\"}' | \(Programs.daypass) rules test --claims - --issuer ci"
            let piped = try await AdministeredBroker.daypass(
                ["-c", script], ["DAYPASS_SOCKET": broker.socket], through: ["/bin/sh", "-c", script])
            #expect(piped.status == 1, "\(piped.error)")
            #expect(broker.fake.calls.tests.map(\.claims) == [["sub": "é"]])
        }
    }

    @Test func `refuses a token in the place of its claims, and files that are none`() async throws {
        try await AdministeredBroker.run { broker in
            try broker.workspace.write("token", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln\n")
            let token = try await broker.daypass("rules", "test", "--claims", broker.workspace.path("token"))
            #expect(token.status == 2 && token.error.contains("holds a token, which is a secret"), "\(token.error)")
            #expect(!token.error.contains("eyJ"))
            try broker.workspace.write("latin", [0x7B, 0xE9, 0x7D])
            let latin = try await broker.daypass("rules", "test", "--claims", broker.workspace.path("latin"))
            #expect(latin.status == 2 && latin.error.contains("no UTF-8"), "\(latin.error)")
            try broker.workspace.write("long", [UInt8](repeating: 0x20, count: 16_385))
            let long = try await broker.daypass("rules", "test", "--claims", broker.workspace.path("long"))
            #expect(long.status == 2 && long.error.contains("it has more than 16384 bytes"), "\(long.error)")
            let endless = try await broker.daypass("rules", "test", "--claims", "/dev/zero")
            #expect(endless.status == 2 && endless.error.contains("has more than 16384 bytes"), "\(endless.error)")
            for path in ["/nonexistent", "/"] {
                let none = try await broker.daypass("rules", "test", "--claims", path)
                #expect(none.status == 2 && none.error.contains(path), "\(none.error)")
            }
            try broker.workspace.write("claims.json", "{}")
            let claims = broker.workspace.path("claims.json")
            for (arguments, words) in [
                (["--claims", "/dev/null"], "/dev/null is empty"),
                (["--claims", claims, "--rules", "nope.yaml"], "nope.yaml"),
                (["--claims", claims, "--federation", "nope=x"], "organization_id, service_account_id, workspace_id"),
                (
                    ["--claims", claims, "--rules", claims, "/dev/zero"],
                    "/dev/zero: with the files before it has more than 1024000 bytes"
                ),
            ] {
                let wrong = try await AdministeredBroker.daypass(
                    ["rules", "test"] + arguments, ["DAYPASS_SOCKET": broker.socket])
                #expect(wrong.status == 2 && wrong.error.contains(words), "\(wrong.error)")
            }
            let both = try await broker.daypass(
                "rules", "test", "--claims", "-", "--issuer", "a", "--trust-domain", "b")
            #expect(both.status == 2)
            let rules = try await broker.daypass("rules", "replay", "--since", "7d")
            #expect(rules.status == 2 && rules.error.contains("--rules"), "\(rules.error)")
            for since in ["yesterday", "-1d", "7", "1.5d", "2027-13-01", "+1d"] {
                let wrong = try await broker.daypass("rules", "replay", "--since=\(since)", "--rules", "x")
                #expect(wrong.status == 2 && wrong.error.contains("a day such as 2027-01-31"), "\(wrong.error)")
            }
            let inverted = try await broker.daypass(
                "rules", "replay", "--since", "1d", "--until", "2d", "--rules", "x")
            #expect(inverted.status == 2 && inverted.error.contains("has to be later than --since"))
            #expect(broker.fake.calls.tests.isEmpty && broker.fake.calls.replays.isEmpty)
        }
    }

    @Test func `adds up the parts of a replay, and sends the same rules for each`() async throws {
        let issuer = IssuerConfiguration(name: Sample.issuer, issuer: "https://ci.example.com", audience: "a")
        let none = try RuleSet([], issuers: [issuer], broker: "https://broker.example.com")
        func part(_ subjects: [ExactString], _ next: HistoryPosition?) -> AdministrationAPI.RuleReplayPart {
            var replay = RuleReplay(none, inForce: none)
            for subject in subjects {
                replay.examine(
                    AuditEvent(
                        time: Sample.time, trace: TraceID(), kind: .exchangeGranted, issuer: Sample.issuer,
                        subject: subject, rule: "r", details: ["claims": [:], "scope": ["a:b"], "audience": "g"]))
            }
            return .init(counts: replay.counts, groups: replay.all, next: next, warnings: ["w\u{1B}"])
        }
        let parts = [
            part([Self.hostile, Self.hostile, "ci:bob"], HistoryPosition(done: 1, last: 3)),
            part([Self.hostile, "ci:carol"], HistoryPosition(done: 2, last: 3)), part([], nil),
        ]
        try await AdministeredBroker.run { broker in
            try broker.workspace.write("new.yaml", "rules: []\n")
            let arguments = [
                "rules", "replay", "--since", "7d", "--rules", broker.workspace.path("new.yaml"), "/dev/null",
            ]
            func daypass(_ more: String...) async throws -> RunningProcess.Outcome {
                broker.fake.find(replaying: parts)
                return try await AdministeredBroker.daypass(arguments + more, ["DAYPASS_SOCKET": broker.socket])
            }
            let table = try await daypass()
            #expect(table.status == 0, "\(table.error)")
            let lines = table.output.split(separator: "\n")
            #expect(
                lines.count == 4 && lines[1].hasPrefix("loses   3      ci:\\u{1B}[2K\\u{202E}eve\\u{200B}  r"),
                "\(table.output)")
            #expect(lines[1].contains("no_rule, -a:b, already"))
            #expect(
                table.error == """
                    warning: w\\u{1B}
                    5 exchanges: 5 lose, 0 gain, 0 change, 0 cannot be told, 0 stay as they were (max_session, models and bind compared with the rules in force), 0 were not decided by rules

                    """)
            let orders = broker.fake.calls.replays
            #expect(orders.map { $0.position?.done } == [nil, 1, 2])
            #expect(Set(orders.map(\.documents)).count == 1 && orders[0].documents.map(\.text) == ["rules: []\n", ""])
            let json = try JSONReader.readObject(Array(try await daypass("--json", "--limit", "2").output.utf8))
            #expect(json["loses"] == 5 && json["groups"]?.array?.count == 2 && json["complete"] == false)
            #expect(json["groups"]?.array?.first?.object?["count"] == 3)
        }
    }

    @Test func `waits for its turn while another replay is under way`() async throws {
        try await AdministeredBroker.run { broker in
            try broker.workspace.write("new.yaml", "rules: []\n")
            broker.fake.letReplaysWait(2)
            let outcome = try await broker.daypass(
                "rules", "replay", "--since", "1h", "--rules", broker.workspace.path("new.yaml"))
            #expect(outcome.status == 0 && outcome.output == "", "\(outcome.error)")
            #expect(broker.fake.calls.replays.count == 1)
            // Nothing else is tried again.
            broker.fake.fail(with: .invalid("no\u{1B}[2K"))
            let refused = try await broker.daypass(
                "rules", "replay", "--since", "1h", "--rules", broker.workspace.path("new.yaml"))
            #expect(refused.status == 1 && refused.error.hasPrefix("daypass: no\\u{1B}[2K"), "\(refused.error)")
            #expect(broker.fake.calls.replays.count == 1)
        }
    }

    @Test func `lists who can get a scope in full, with what to look at twice`() async throws {
        try await AdministeredBroker.run { broker in
            let who = try await broker.daypass("rules", "who", "--scope", "a:b")
            #expect(
                who.output == """
                    RULE     THROUGH  WHO
                    ci-main  -        subjects of ci whose ref is like refs/\\u{1B}[2K*
                    docs     -        subjects of ci whose ref is like refs/\\u{1B}[2K*

                    """)
            #expect(who.error == "warning: docs: for a:b\n")
            #expect(try await broker.daypass("rules", "list").error == "none\n")
            #expect(try await broker.daypass("rules", "who", "--scope", "a b").status == 1)
            #expect(try await broker.daypass("rules", "who").status == 2)
        }
    }
}

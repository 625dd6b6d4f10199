import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// Rules tried before they go live, with a real broker: what `daypass rules` says is what the broker then does.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Rules that are tried before they go live` {
    private static let rules = """
          - name: docs
            issuer: github
            match: {repository_id: "123456", ref: refs/heads/docs}
            grant: {scope: ["anthropic:messages", "openai:responses"], ttl: 15m}
          - name: deploy
            issuer: github
            match: {repository_id: "123456", environment: production}
            grant: {scope: ["openai:responses"], ttl: 15m}
          - name: admins
            issuer: github
            match: {repository_id: "7"}
            grant: {scope: ["daypass:admin"], ttl: 10m}
          - name: fed
            issuer: github
            match: {repository_id: "9", flag: true, n: [5, "5"]}
            federation: {organization_id: org-1}
            grant: {scope: ["anthropic:messages"], ttl: 15m, explain_to_caller: true}

        """
    /// The same but for `docs`, which has less; `deploy`, which is gone; and `dev`, which is new.
    private static let next = """
        rules:
          - name: ci-main
            issuer: github
            match: {repository_id: "123456", ref: refs/heads/main}
            grant: {scope: ["anthropic:messages", "anthropic:count_tokens"], ttl: 15m, max_session: 6h}
          - name: docs
            issuer: github
            match: {repository_id: "123456", ref: refs/heads/docs}
            grant: {scope: ["anthropic:messages"], ttl: 15m}
          - name: dev
            issuer: github
            match: {repository_id: "123456", ref: "refs/heads/dev/*"}
            grant: {scope: ["anthropic:messages"], ttl: 15m}
          - name: team
            issuer: github
            match: {repository_id: "123456", team: platform}
            grant: {scope: ["openai:responses"], ttl: 15m}

        """

    private struct Setting {
        let broker: RunningBroker
        let issuer: TestIssuer

        init() async throws {
            let workspace = try Workspace()
            issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
            let text = try RunningBroker.fileIssuer(issuer, in: workspace, replay: "off")
            let broker = try await RunningBroker(
                workspace, issuersAndRules: text + `Rules that are tried before they go live`.rules,
                admin: "{socket: run/admin.sock}")
            try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
            self.broker = broker
            try workspace.write("next.yaml", `Rules that are tried before they go live`.next)
        }

        func daypass(_ arguments: String...) async throws -> RunningProcess.Outcome {
            try await AdministeredBroker.daypass(
                arguments, ["DAYPASS_SOCKET": broker.workspace.path("run/admin.sock")], in: broker.workspace.folder)
        }

        func claims(_ subject: String, _ ref: ExactString, _ more: JSONObject = [:]) -> JSONObject {
            issuer.claims(subject: subject, at: Date()).merging(["repository_id": "123456", "ref": .string(ref)])
                .merging(more)
        }

        func exchange(_ claims: JSONObject, _ parameters: [String: String] = [:]) async throws -> HTTPAnswer {
            try await broker.exchange(issuer.token(claims), parameters)
        }

        func test(_ claims: JSONObject, _ more: String...) async throws -> (status: Int32, json: JSONObject) {
            try broker.workspace.write("claims.json", claims.encoded())
            let outcome = try await AdministeredBroker.daypass(
                ["rules", "test", "--claims", "claims.json", "--json"] + more,
                ["DAYPASS_SOCKET": broker.workspace.path("run/admin.sock")], in: broker.workspace.folder)
            let json = try? JSONReader.readObject(Array(outcome.output.utf8), depth: 16)
            return (outcome.status, try #require(json, "\(outcome.error)"))
        }
    }

    @Test func `a test says what the exchange of a token with these claims then gets`() async throws {
        let setting = try await Setting()
        let cases: [(JSONObject, String?)] = [
            (setting.claims("job", "refs/heads/main"), nil), (setting.claims("job", "refs/heads/docs"), nil),
            (setting.claims("job", "refs/heads/docs"), "openai:responses"),
            (setting.claims("job", "refs/heads/docs"), "anthropic:count_tokens"),
            (setting.claims("job", "refs/heads/dev/x"), nil),
            (setting.claims("job", "x", ["environment": ["production", "other"]]), nil),
            (setting.claims("job", "x", ["repository_id": 123_456]), nil),
            (setting.claims("job", "x", ["repository_id": "7"]), nil),
            (setting.claims("job", "x", ["repository_id": "7"]), "daypass:keys"),
            (setting.claims("job", "x", ["repository_id": "7"]), "daypass:admin"),
        ]
        var statuses: [Int32] = []
        for (claims, scope) in cases {
            let test =
                if let scope { try await setting.test(claims, "--scope", scope) } else {
                    try await setting.test(claims)
                }
            let answer = try await setting.exchange(claims, scope.map { ["scope": $0] } ?? [:])
            #expect((test.status == 0) == (answer.status == 200), "\(claims): \(test.json) \(answer.body)")
            #expect((test.json["granted"] == true) == (answer.status == 200))
            if answer.status == 200 {
                let granted = test.json["scope"]?.array?.compactMap(\.string?.string).joined(separator: " ")
                #expect(granted == answer.text("scope"))
                #expect(test.json["ttl_seconds"] == answer.json["expires_in"])
            }
            statuses.append(test.status)
        }
        #expect(statuses == [0, 0, 0, 1, 1, 0, 1, 1, 1, 0])
        // The broker's own reader, for other rules, which then grant nothing.
        let dev = setting.claims("job", "refs/heads/dev/x")
        let other = try await setting.test(dev, "--rules", "next.yaml")
        #expect(other.status == 0 && other.json["rule"] == "dev", "\(other.json)")
        #expect(try await setting.exchange(dev).status == 400)
    }

    @Test func `a test shows the rules as explain shows them of the exchange: the nearest, and the smallest change`()
        async throws
    {
        let setting = try await Setting()
        for (claims, scope) in [
            (setting.claims("job", "refs/heads/dev"), nil),
            (setting.claims("job", "x", ["environment": ["staging", "\u{1B}x"]]), nil),
            (setting.claims("job", "refs/heads/dev"), "openai:responses"),
        ] as [(JSONObject, String?)] {
            let answer = try await setting.exchange(claims, scope.map { ["scope": $0] } ?? [:])
            try #require(answer.status == 400)
            let trace = try #require(answer.headers.first(name: "Daypass-Trace-Id"))
            let explained = try await setting.daypass("explain", trace, "--json")
            let decision = try JSONReader.readObject(Array(explained.output.utf8), depth: 16)["decisions"]?.array?.first
            let test =
                if let scope { try await setting.test(claims, "--scope", scope) } else {
                    try await setting.test(claims)
                }
            #expect(test.json["rules"] == decision?.object?["rules"], "\(test.json)")
            #expect(test.json["changes"] == decision?.object?["changes"] && test.json["changes"] != nil)
            #expect(test.json["rules"]?.array?.first?.object?["nearest"] == true)
        }
    }

    @Test func `a replay finds who gains, who loses, who changes, and of whom it cannot be told`() async throws {
        let setting = try await Setting()
        let job = setting.claims("job", "refs/heads/main")
        for _ in 0..<3 { #expect(try await setting.exchange(job).status == 200) }
        #expect(try await setting.exchange(setting.claims("docs", "refs/heads/docs")).status == 200)
        #expect(
            try await setting.exchange(setting.claims("docs", "refs/heads/docs"), ["scope": "anthropic:messages"])
                .status == 200)
        let production: JSONObject = ["environment": "production"]
        #expect(try await setting.exchange(setting.claims("ship", "refs/heads/x", production)).status == 200)
        for _ in 0..<2 { #expect(try await setting.exchange(setting.claims("dev", "refs/heads/dev/x")).status == 400) }
        // What was not kept: no rule of then read it.
        #expect(try await setting.exchange(setting.claims("team", "refs/heads/y", ["team": "platform"])).status == 400)
        // What no rule decided.
        #expect(
            try await setting.exchange(setting.claims("late", "refs/heads/main", ["exp": 1_700_000_000])).status == 400)

        let replayed = try await setting.daypass("rules", "replay", "--since", "1h", "--rules", "next.yaml", "--json")
        #expect(replayed.status == 0, "\(replayed.error)")
        let json = try JSONReader.readObject(Array(replayed.output.utf8))
        #expect(json["examined"] == 10 && json["not_by_rules"] == 1, "\(replayed.output)")
        #expect(json["unchanged"] == 4 && json["complete"] == true)
        var found: [String: JSONObject] = [:]
        for group in json["groups"]?.array?.compactMap(\.object) ?? [] {
            let (change, subject) = (try #require(group["change"]?.string), try #require(group["subject"]?.string))
            found["\(change) \(subject)"] = group
        }
        #expect(
            found.keys.sorted() == [
                "changes github:docs", "gains github:dev", "unknown github:ship", "unknown github:team",
            ])
        #expect(found["gains github:dev"]?["count"] == 2 && found["gains github:dev"]?["after"] == "dev")
        #expect(found["changes github:docs"]?["lost_scope"] == ["openai:responses"])
        #expect(found["changes github:docs"]?["count"] == 1)
        #expect(found["unknown github:team"]?["claims"] == ["team"])

        // Without the rule that reads what was not kept, everything can be told.
        let text = try #require(Self.next.components(separatedBy: "  - name: team").first)
        try setting.broker.workspace.write("next.yaml", text)
        let table = try await setting.daypass("rules", "replay", "--since", "1h", "--rules", "next.yaml")
        #expect(table.status == 0)
        let lines = table.output.split(separator: "\n").map {
            $0.split(separator: " ").prefix(5).joined(separator: " ")
        }
        #expect(
            lines == [
                "CHANGE COUNT SUBJECT BEFORE AFTER", "loses 1 github:ship deploy -", "gains 2 github:dev - dev",
                "changes 1 github:docs docs docs",
            ], "\(table.output)")
        #expect(
            table.error.contains("10 exchanges: 1 lose, 2 gain, 1 change, 0 cannot be told, 5 stay"), "\(table.error)")

        // Put into force, they do what was said, and the replay says that they do it already.
        let file = setting.broker.workspace.path("daypass.yaml")
        let configured = try String(contentsOfFile: file, encoding: .utf8)
        let head = try #require(configured.components(separatedBy: "rules:\n").first)
        try setting.broker.workspace.write("daypass.yaml", head + text)
        #expect(try await setting.daypass("rules", "reload").status == 0)
        #expect(
            try await setting.exchange(setting.claims("dev", "refs/heads/dev/x")).text("scope") == "anthropic:messages")
        #expect(try await setting.exchange(setting.claims("ship", "refs/heads/x", production)).status == 400)
        let after = try await setting.daypass("rules", "replay", "--since", "1h", "--rules", "next.yaml")
        let rows = after.output.split(separator: "\n").dropFirst()
        #expect(rows.count == 3 && rows.allSatisfy { $0.contains("already") }, "\(after.output)")
    }

    @Test func `rules that cannot be read are refused with every place, and nothing of them takes effect`() async throws
    {
        let setting = try await Setting()
        try setting.broker.workspace.write(
            "bad.yaml",
            """
            rules:
              - name: ci-main
                issuer: gitlab
                match: {sub: "*"}
                grant: {scope: [daypass:everything]}

            """)
        for command in [["test", "--claims", "claims.json"], ["replay", "--since", "1h"]] {
            try setting.broker.workspace.write("claims.json", setting.claims("job", "refs/heads/main").encoded())
            let outcome = try await AdministeredBroker.daypass(
                ["rules"] + command + ["--rules", "bad.yaml"],
                ["DAYPASS_SOCKET": setting.broker.workspace.path("run/admin.sock")],
                in: setting.broker.workspace.folder)
            #expect(outcome.status == 1 && outcome.output == "")
            #expect(outcome.error.contains("bad.yaml:3:13: expected the name of an issuer"), "\(outcome.error)")
            #expect(outcome.error.contains("bad.yaml:5:21:"), "\(outcome.error)")
        }
        // A file of the broker's own host is not read, whatever a document says.
        try setting.broker.workspace.write(
            "bad.yaml",
            "rules: []\nissuers:\n  - {name: x, issuer: \"https://x.example.com\", keys: {file: /etc/hostname}}\n")
        let unread = try await setting.daypass("rules", "replay", "--since", "1h", "--rules", "bad.yaml")
        #expect(unread.status == 0 && unread.error.contains("the issuers are not read here"), "\(unread.error)")
        #expect(try await setting.exchange(setting.claims("job", "refs/heads/main")).status == 200)
    }

    @Test func `lists the rules, and says who can get a scope`() async throws {
        let setting = try await Setting()
        let list = try await setting.daypass("rules", "list")
        #expect(
            list.output.split(separator: "\n").map { $0.split(separator: " ").first } == [
                "RULE", "ci-main", "docs", "deploy", "admins", "fed",
            ])
        #expect(list.output.contains(#"repository_id="123456", ref=refs/heads/main"#), "\(list.output)")
        #expect(
            list.output.contains(#"repository_id="9", flag=true, n=5|"5", federation organization_id=org-1"#),
            "\(list.output)")
        let all = try await setting.daypass("rules", "list", "--json")
        let told = try JSONReader.readObject(Array(all.output.utf8))["rules"]?.array?.compactMap(\.object) ?? []
        #expect(told.map { $0["explain_to_caller"] } == [false, false, false, false, true])
        let claims = setting.claims("job", "x", ["repository_id": "9", "flag": "true", "n": 5])
        try setting.broker.workspace.write("claims.json", claims.encoded())
        let test = try await setting.daypass(
            "rules", "test", "--claims", "claims.json", "--federation", "organization_id=org-2", "--rule", "fed")
        #expect(
            test.output.hasSuffix(
                """
                RULE           CLAIM            WANTED    GOT     HELD
                fed (nearest)  flag             true      "true"  NO
                fed (nearest)  organization_id  org-1     org-2   NO
                fed (nearest)  repository_id    "9"       "9"     yes
                fed (nearest)  n                5 or "5"  5       yes

                The nearest rule would match with:
                  flag being true (they differ in type: the token has a text; write it in quotes)
                    or, where it is to be let in, with this line in the place of the rule's own: "flag": [true,"true"]
                  the parameter organization_id being org-1

                """), "\(test.output)")
        let who = try await setting.daypass("rules", "who", "--scope", "openai:responses", "--json")
        let rules = try JSONReader.readObject(Array(who.output.utf8))["rules"]?.array?.compactMap(\.object) ?? []
        #expect(rules.map { $0["rule"] } == ["docs", "deploy"])
        let keys = try await setting.daypass("rules", "who", "--scope", "daypass:keys")
        #expect(keys.status == 0 && keys.output.contains("admins  daypass:admin"), "\(keys.output)\(keys.error)")
        let nobody = try await setting.daypass("rules", "who", "--scope", "openai:files")
        #expect(nobody.status == 0 && nobody.output == "" && nobody.error == "none\n")
    }
}

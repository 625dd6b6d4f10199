import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// `daypass explain`, over a real broker.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Explaining a decision` {
    private static func trace(_ answer: HTTPAnswer) throws -> String {
        try #require(answer.headers.first(name: "Daypass-Trace-Id"))
    }

    @Test func `a refused job is shown as a table of rules and claims, nearest first, and what would have matched`()
        async throws
    {
        let grants = try await AdministeredGrants()
        let answer = try await grants.exchange(ref: "refs/heads/dev")
        try #require(answer.status == 400)
        let trace = try Self.trace(answer)
        let output = try await grants.done("explain", trace)
        #expect(output.hasPrefix("it was refused: no rule of github matches; the nearest is ci-main\n"), "\(output)")
        #expect(output.contains("subject  github:job\n") && output.contains("source   audit record "))
        #expect(
            output.contains(
                """
                RULE               CLAIM          WANTED           GOT             HELD
                ci-main (nearest)  ref            refs/heads/main  refs/heads/dev  NO
                ci-main (nearest)  repository_id  "123456"         "123456"        yes
                docs               ref            refs/heads/docs  refs/heads/dev  NO
                docs               repository_id  "123456"         "123456"        yes

                The nearest rule would match with:
                  ref being refs/heads/main
                    or, where it is to be let in, with this line in the place of the rule's own: "ref": ["refs/heads/main","refs/heads/dev"]

                """), "\(output)")
        let json = try await grants.json("explain", trace)
        #expect(json["decisions"]?.array?.first?.object?["rules"]?.array?.count == 2)
    }

    @Test func `the suggested line, put into the rule, lets the job in`() async throws {
        let grants = try await AdministeredGrants()
        let refused = try await grants.exchange(ref: "refs/heads/dev*")
        let json = try await grants.json("explain", Self.trace(refused))
        let change = json["decisions"]?.array?.first?.object?["changes"]?.array?.first?.object
        let line = try #require(change?["or_rule"]?.string?.string)
        let path = grants.broker.workspace.path("daypass.yaml")
        let yaml = try String(contentsOfFile: path, encoding: .utf8)
        try grants.broker.workspace.write(
            "daypass.yaml", yaml.replacing("ref: refs/heads/main}", with: "\(line)}"))
        try await grants.done("rules", "reload")
        #expect(try await grants.exchange(ref: "refs/heads/dev*").status == 200)
        #expect(try await grants.exchange(ref: "refs/heads/devil").status == 400)
        #expect(try await grants.exchange().status == 200)
    }

    /// Controls, a byte order mark, line breaks of YAML and a character of five digits.
    @Test func `the suggested line is YAML as the terminal shows it, whatever the claim hides`() async throws {
        let grants = try await AdministeredGrants()
        let ref: ExactString = "a\u{1B}\u{9B}\u{FEFF}\u{202E}\u{2028}\u{85}\u{E0001}\\\"b"
        let shown = try await grants.done("explain", Self.trace(grants.exchange(ref: ref)))
        let found = shown.firstMatch(of: /the rule's own: (.*)/)
        let line = try #require(found).output.1
        #expect(line.hasSuffix(#""a\u001b\u009b\ufeff\u202e\u2028\u0085\U000e0001\\\\\"b"]"#), "\(line)")
        let path = grants.broker.workspace.path("daypass.yaml")
        let yaml = try String(contentsOfFile: path, encoding: .utf8)
        try grants.broker.workspace.write(
            "daypass.yaml", yaml.replacing("ref: refs/heads/main}", with: "\(line)}"))
        try await grants.done("rules", "reload")
        #expect(try await grants.exchange(ref: ref).status == 200)
    }

    @Test func `text that looks like truth, a number or null is in quotes, and truth is not`() async throws {
        let grants = try await AdministeredGrants()
        for (value, shown) in [("true", #""true""#), (true, "true"), ("5", #""5""#), (5, "5"), ("null", #""null""#)]
            as [(JSONValue, String)]
        {
            let answer = try await grants.exchange("job", ["ref": value])
            try #require(answer.status == 400)
            let output = try await grants.done("explain", Self.trace(answer))
            let row = output.split(separator: "\n").first { $0.hasPrefix("ci-main") }
            let cells = row?.split(separator: " ").map(String.init) ?? []
            #expect(cells.dropLast().last == shown, "\(output)")
        }
    }

    @Test func `grants, renewals and narrowings are shown with what was granted`() async throws {
        let grants = try await AdministeredGrants()
        let granted = try await grants.exchange()
        let token = try #require(granted.text("access_token"))
        let renewed = try await grants.renewed(token)
        let narrowed = try await grants.renewed(token, ["scope": "anthropic:messages"])
        for (answer, summary, scope) in [
            (granted, "a gateway token was granted by rule ci-main", "anthropic:messages anthropic:count_tokens"),
            (
                renewed, "a further gateway token of the session was granted by rule ci-main",
                "anthropic:messages anthropic:count_tokens"
            ),
            (
                narrowed, "a gateway token of a session below the presented one was granted by rule ci-main",
                "anthropic:messages"
            ),
        ] {
            try #require(answer.status == 200)
            let json = try await grants.json("explain", Self.trace(answer))
            let decision = try #require(json["decisions"]?.array?.first?.object)
            #expect(decision["summary"]?.string?.string == summary)
            let scopes = decision["granted"]?.object?["scope"]?.array?.compactMap { $0.string?.string }
            #expect(scopes?.joined(separator: " ") == scope)
            #expect(try await grants.done("explain", Self.trace(answer)).contains("granted expires  "))
        }
        let session = try #require(granted.text("session_id"))
        let source = "daypass audit search --kind exchange.granted --session \(session)"
        for (answer, isFurther) in [(granted, false), (renewed, true), (narrowed, true)] {
            let claims = try await grants.done("explain", Self.trace(answer))
            let rows = claims.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
            #expect(rows.contains("CLAIM VALUE") && rows.contains(#"repository_id "123456""#), "\(claims)")
            #expect(rows.contains("ref refs/heads/main"), "\(claims)")
            #expect(rows.contains(source) == isFurther, "\(claims)")
        }
        // What it names is the record that has them.
        let words = source.split(separator: " ").dropFirst().map(String.init)
        let found = try await grants.daypass(words + ["--json"])
        #expect(found.status == 0 && found.output.contains(#""claims""#), "\(found)")
    }

    @Test
    func `refusals before the rules say what was checked and by whose words: signature, audience, expiry, replay`()
        async throws
    {
        let grants = try await AdministeredGrants()
        let now = Date().timeIntervalSince1970.rounded(.down)
        let audience = try await grants.exchange("job", ["aud": "https://other.example.com"])
        let words = try await grants.done("explain", Self.trace(audience))
        #expect(words.contains("for somebody else than this broker"), "\(words)")
        #expect(words.contains("aud      https://daypass.example.com, by the configuration of now"), "\(words)")
        let expired = try await grants.exchange("job", ["iat": .number(now - 800), "exp": .number(now - 100)])
        let over = try await grants.done("explain", Self.trace(expired))
        #expect(over.contains("by its issuer's own exp") && over.contains("by this broker's clock"), "\(over)")
        let (one, other) = (
            TokenSegments(try grants.issuer.token(grants.issuer.claims(subject: "x", at: Date()))),
            TokenSegments(try grants.issuer.token(grants.issuer.claims(subject: "y", at: Date())))
        )
        let forged = try await grants.broker.exchange("\(one.header).\(one.payload).\(other.signature)")
        let unproved = try await grants.done("explain", Self.trace(forged))
        #expect(unproved.contains("source              the broker's memory: it is in no record"), "\(unproved)")
        #expect(unproved.contains("says sub, unproved  x\n"), "\(unproved)")
        #expect(!unproved.contains(one.payload) && !unproved.contains(other.signature))
    }

    @Test func `a replayed token is explained`() async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace, replay: "once"),
            admin: "{socket: run/admin.sock}")
        let claims = issuer.claims(subject: "job", at: Date())
            .merging(["repository_id": "123456", "ref": "refs/heads/main"])
        let token = try issuer.token(claims)
        try #require(try await broker.exchange(token).status == 200)
        let again = try await broker.exchange(token)
        let output = try await AdministeredBroker.daypass(
            ["explain", Self.trace(again)], ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
        #expect(output.status == 0 && output.output.contains("presented  at most 1 times"), "\(output)")
    }

    @Test func `refusals of /verify are explained out of memory, and after a restart it says why they are gone`()
        async throws
    {
        let grants = try await AdministeredGrants()
        let token = try await grants.token()
        let denied = try await grants.broker.verify(token, scope: "openai:responses")
        try #require(denied.status == 403)
        let trace = try Self.trace(denied)
        let output = try await grants.done("explain", trace)
        #expect(output.hasPrefix("403: the token is good, and lacks a scope that the gateway requires\n"), "\(output)")
        #expect(
            output.contains(
                """
                CHECKED  WANTED            GOT
                scope    openai:responses  anthropic:messages anthropic:count_tokens
                """), "\(output)")
        try await grants.done("sessions", "end", grants.lastSession(), "--yes")
        let revoked = try await grants.broker.verify(token)
        try #require(revoked.status == 401)
        #expect(try await grants.done("explain", Self.trace(revoked)).contains("revoked: session "))
        grants.broker.process.signal(SIGTERM)
        _ = try await grants.broker.process.outcome()
        let restarted = try await RunningBroker(restarting: grants.broker)
        let gone = try await grants.daypass(["explain", trace])
        #expect(gone.status == 1 && gone.output == "")
        #expect(gone.error.contains("what was there before is lost"), "\(gone.error)")
        withExtendedLifetime(restarted) {}
    }

    @Test func `nothing known ends with 1 and says why that can be; what is no trace id ends with 2`() async throws {
        let grants = try await AdministeredGrants()
        let good = try await grants.broker.verify(grants.token())
        try #require(good.status == 200)
        let passed = try await grants.daypass(["explain", Self.trace(good)])
        #expect(passed.status == 1 && passed.error.contains("It was let pass at /verify"), "\(passed.error)")
        #expect(try await grants.daypass(["explain", "../keys"]).status == 2)
        #expect(try await grants.daypass(["explain"]).status == 2)
        #expect(try await grants.daypass(["explain", "0123"]).status == 2)
        let capitals = try await grants.daypass(["explain", Self.trace(good).uppercased()])
        #expect(capitals.error.contains("It was let pass at /verify"), "\(capitals.error)")
    }

    /// Terminal escapes, right-to-left text and line breaks, in names and in values.
    @Test func `hostile claims are shown without doing anything to the terminal`() async throws {
        let grants = try await AdministeredGrants()
        var claims: JSONObject = ["ref": "\u{1B}[2J\u{1B}]0;owned\u{7}\r\n\u{202E}nimda\u{200B}\u{9B}31m"]
        for number in 0..<200 { _ = claims.append(ExactString("\u{1B}[31m\u{202E}\(number)"), "\u{1B}[A") }
        let answer = try await grants.exchange("job\u{202E}evil", claims)
        try #require(answer.status == 400)
        let trace = try Self.trace(answer)
        for arguments in [["explain", trace], ["explain", trace, "--json"], ["audit", "search"], ["audit", "tail"]] {
            let outcome = try await grants.daypass(arguments)
            #expect(outcome.status == 0, "\(outcome.error)")
            let isHarmless = outcome.output.unicodeScalars.allSatisfy {
                $0 == "\n"
                    || (!$0.properties.isDefaultIgnorableCodePoint && $0.properties.generalCategory != .control
                        && $0.properties.generalCategory != .format)
            }
            #expect(isHarmless, "\(arguments)")
        }
        let text = try await grants.done("explain", trace)
        #expect(text.contains(#"\u{1B}[2J\u{1B}]0;owned\u{7}\u{D}\u{A}\u{202E}nimda\u{200B}\u{9B}31m"#), "\(text)")
    }

    /// 10,000 are more than a token may be long; of short ones it can have some 900.
    @Test func `10,000 hostile claims are refused, and as many as fit are explained without harm`() async throws {
        let grants = try await AdministeredGrants()
        func claims(_ count: Int) -> JSONObject {
            var claims: JSONObject = [:]
            for number in 0..<count { _ = claims.append(ExactString("\u{202E}\(number)"), 1) }
            return claims
        }
        let refused = try await grants.exchange("job", claims(10_000))
        #expect(refused.status == 400, "\(refused.body)")
        let unknown = try await grants.daypass(["explain", Self.trace(refused)])
        #expect(unknown.status == 1 && unknown.error.contains("refused for its form"), "\(unknown.error)")
        for ref in ["refs/heads/main", "refs/heads/\u{1B}[2J"] as [ExactString] {
            let answer = try await grants.exchange("job", ref: ref, claims(900))
            #expect(answer.status == (ref == "refs/heads/main" ? 200 : 400), "\(answer.body)")
            for arguments in [["explain", try Self.trace(answer)], ["explain", try Self.trace(answer), "--json"]] {
                let explained = try await grants.daypass(arguments)
                #expect(explained.status == 0, "\(explained.error)")
                #expect(!explained.output.contains("\u{1B}") && !explained.output.contains("\u{202E}"))
                #expect(explained.output.contains("refs/heads/"))
            }
        }
    }

    @Test(.enabled(if: Programs.python != nil))
    func `on a terminal of 80 columns rules of one prefix are told apart, and the nearest is marked`() async throws {
        let grants = try await AdministeredGrants()
        let path = grants.broker.workspace.path("daypass.yaml")
        let yaml = try String(contentsOfFile: path, encoding: .utf8)
        let workflow = "acme/app/.github/workflows/release.yaml@refs/heads/main"
        try grants.broker.workspace.write(
            "daypass.yaml",
            yaml.replacing("name: ci-main", with: "name: ci-main-release")
                .replacing("name: docs", with: "name: ci-main-nightly")
                .replacing("ref: refs/heads/main}", with: "job_workflow_ref: \(workflow)}"))
        try await grants.done("rules", "reload")
        let answer = try await grants.exchange(ref: "refs/heads/dev")
        try #require(answer.status == 400)
        let socket = grants.broker.workspace.path("run/admin.sock")
        let shown = try await OnTerminal.daypass(["explain", Self.trace(answer)], socket: socket).output
        let rows = shown.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(rows.contains("ci-main-release (nearest) job_workflow_ref \(workflow) (missing) NO"), "\(shown)")
        #expect(rows.contains("ci-main-nightly ref refs/heads/docs refs/heads/dev NO"), "\(shown)")
        // What a rule is about is what a list of rules is for.
        let list = try await OnTerminal.daypass(["rules", "list"], socket: socket).output
        #expect(list.contains("job_workflow_ref=\(workflow)") && list.contains("ci-main-nightly"), "\(list)")
    }

    @Test func `a rule of many values makes no wide table, and the change is what to add to them`() async throws {
        let grants = try await AdministeredGrants()
        let path = grants.broker.workspace.path("daypass.yaml")
        let yaml = try String(contentsOfFile: path, encoding: .utf8)
        let values = (0..<150).map { "refs/heads/release-\($0)" }.joined(separator: ", ")
        try grants.broker.workspace.write(
            "daypass.yaml", yaml.replacing("ref: refs/heads/main}", with: "ref: [\(values)]}"))
        try await grants.done("rules", "reload")
        let answer = try await grants.exchange(ref: "refs/heads/dev")
        let trace = try Self.trace(answer)
        let shown = try await grants.done("explain", trace)
        #expect(shown.contains(" or refs/heads/release-15 or 134 more  refs/heads/dev  NO"), "\(shown)")
        #expect(!shown.contains("release-16") && shown.split(separator: "\n").allSatisfy { $0.utf8.count < 600 })
        #expect(shown.contains(#"with this value added to the rule's own: "refs/heads/dev""#), "\(shown)")
        let records = try await grants.done("audit", "search", "--trace", trace, "--json")
        #expect(!records.contains("release-16") && records.contains(#""omitted_wanted" : 134"#), "\(records)")
    }

    @Test func `lists are words with blanks between them, and what a token says of times are moments`() async throws {
        let grants = try await AdministeredGrants()
        let claims = grants.issuer.claims(subject: "job", at: Date())
            .merging(["repository_id": "123456", "ref": "refs/heads/main"])
        let refused = try await grants.broker.exchange(
            grants.issuer.token(claims), ["scope": "openai:responses anthropic:messages"])
        let shown = try await grants.done("explain", Self.trace(refused))
        let rows = shown.split(separator: "\n").map { $0.split(separator: " ") }
        let lines = rows.map { $0.joined(separator: " ") }
        let (asked, granted) = ("openai:responses anthropic:messages", "anthropic:messages anthropic:count_tokens")
        #expect(lines.contains("asked scope \(asked)"), "\(shown)")
        #expect(lines.contains("scope at most \(granted) \(asked)"), "\(shown)")
        for name in ["exp", "iat"] {
            let value = try #require(rows.first { $0.first == Substring(name) }?.last, "\(shown)")
            #expect(value.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/) != nil, "\(shown)")
        }
        // The record has what the token had.
        let json = try await grants.json("explain", Self.trace(refused))
        #expect(json["decisions"]?.array?.first?.object?["claims"]?.object?["exp"]?.number != nil)
    }

    @Test(.enabled(if: Programs.python != nil))
    func `on a terminal of 80 columns what has to be compared or copied is whole, and the rest gives way`() async throws
    {
        let grants = try await AdministeredGrants()
        let socket = grants.broker.workspace.path("run/admin.sock")
        let ref = ExactString("refs/heads/" + String(repeating: "feature-", count: 9) + "end")
        let answer = try await grants.exchange(String(repeating: "subject-", count: 10), ref: ref)
        let trace = try Self.trace(answer)
        let rules = try await OnTerminal.daypass(["explain", trace], socket: socket).output
        let lines = rules.split(separator: "\n", omittingEmptySubsequences: false)
        let head = try #require(lines.firstIndex { $0.contains("CLAIM") && $0.contains("WANTED") }, "\(rules)")
        let row = try #require(lines[head...].first { $0.contains(" ref ") }, "\(rules)")
        #expect(row.contains("refs/heads/main") && row.contains(ref.string), "\(rules)")
        #expect(row.hasPrefix("ci-main (nearest)  "), "\(row)")
        #expect(lines[head...].contains { $0.contains(" repository_id ") })
        #expect(row.count > 80 && row.hasSuffix("NO"), "\(row)")
        // The same where no rule was asked: a list of audiences, and what the broker wants.
        let audiences = (0..<4).map { JSONValue.string(ExactString("https://audience-\($0).example.com")) }
        let other = try await grants.exchange("job", ["aud": .array(audiences)])
        let facts = try await OnTerminal.daypass(["explain", Self.trace(other)], socket: socket).output
        #expect(facts.contains("CHECKED") && facts.contains("https://daypass.example.com, by the configuration of now"))
        for number in 0..<4 { #expect(facts.contains("https://audience-\(number).example.com"), "\(facts)") }
        let search = try await OnTerminal.daypass(["audit", "search"], socket: socket).output
        let found = try #require(search.split(separator: "\n").first { $0.contains(trace) }, "\(search)")
        #expect(search.contains("TRACE") && found.contains("…"), "\(search)")
        // A claim's name is copied as well; its value alone gives way.
        let name = "https://claims.example.com/" + String(repeating: "n", count: 60)
        let granted = try await grants.exchange("job", [ExactString(name): .string(ref)])
        try #require(granted.status == 200, "\(granted.body)")
        let claims = try await OnTerminal.daypass(["explain", Self.trace(granted)], socket: socket).output
        let claim = try #require(claims.split(separator: "\n").first { $0.contains(name) }, "\(claims)")
        #expect(!claim.contains(ref.string) && claim.hasSuffix("…"), "\(claim)")
    }

    @Test func `explain_to_caller tells the caller which of its claims did not match, and no value`() async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace, replay: "off")
            .replacing("max_session: 6h", with: "max_session: 6h, explain_to_caller: true")
        let broker = try await RunningBroker(workspace, issuersAndRules: rules)
        let claims = issuer.claims(subject: "job", at: Date())
        let answer = try await broker.exchange(issuer.token(claims.merging(["ref": "refs/heads/dev"])))
        #expect(answer.status == 400 && answer.json["unmatched"] == ["repository_id", "ref"], "\(answer.body)")
        #expect(!answer.body.contains("refs/heads/main") && !answer.body.contains("123456"))
        #expect(!answer.body.contains("ci-main"))
        let expired = try await broker.exchange(issuer.token(claims.merging(["exp": 1])))
        #expect(expired.status == 400 && expired.json["unmatched"] == nil)
    }
}

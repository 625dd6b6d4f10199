import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import Testing

/// The operator changes the configuration and sends SIGHUP.
@Suite(.onOwnThreads) struct `A broker that reads its configuration again` {
    private static let access = ["subject_token_type": "urn:ietf:params:oauth:token-type:access_token"]
    private static let done = #""message":"the configuration was reloaded"#
    private static let refused = #""message":"the configuration was not reloaded"#

    private struct Setting {
        let broker: RunningBroker
        let first: TestIssuer
        let second: TestIssuer

        /// Changes the configuration's text, has it read again, and waits for what the log says of that.
        func reload(_ changes: [String: String], expecting message: String) async throws {
            var text = try String(contentsOf: broker.workspace.folder.appending(path: "daypass.yaml"), encoding: .utf8)
            for (old, new) in changes {
                #expect(text.contains(old), "\(old)")
                text = text.replacing(old, with: new)
            }
            try await reload(text, expecting: message)
        }

        var text: String {
            get throws {
                try String(contentsOf: broker.workspace.folder.appending(path: "daypass.yaml"), encoding: .utf8)
            }
        }

        /// The first column of each row, as another program has it.
        func sql(_ statement: String) async throws -> [String] {
            let script =
                "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=30)\n"
                + "for r in c.execute(sys.argv[2]): print(r[0])\nc.commit()"
            let run = try await RunningProcess(
                try #require(Programs.python), ["-c", script, broker.workspace.path("data/daypass.db"), statement]
            ).outcome()
            try #require(run.status == 0, "\(run.error)")
            return run.output.split(separator: "\n").map(String.init)
        }

        func reload(_ text: String, expecting message: String) async throws {
            try broker.workspace.write("daypass.yaml", text)
            let before = broker.process.error.components(separatedBy: message).count
            broker.process.signal(SIGHUP)
            try await waitUntil("the log says \(message)") {
                broker.process.error.components(separatedBy: message).count > before
            }
        }
    }

    private func start() async throws -> Setting {
        let workspace = try Workspace()
        let first = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let second = try TestIssuer("https://second.example.com", algorithm: .ES256)
        try workspace.write("second.json", second.jwks)
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(first, in: workspace, replay: "off"))
        return Setting(broker: broker, first: first, second: second)
    }

    private static let secondIssuer = """
        issuers:
          - name: second
            issuer: https://second.example.com
            audience: \(RunningBroker.audience)
            keys: {file: second.json}
            algorithms: [ES256]

        """
    private static let secondRule = """
        rules:
          - name: second-rule
            issuer: second
            match: {repository_id: "123456"}
            grant: {scope: ["openai:responses"], ttl: 15m}

        """

    fileprivate static func token(of issuer: TestIssuer) throws -> String {
        let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
        return try issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching))
    }

    @Test func `puts a changed rule into force, and records and logs what differs`() async throws {
        let setting = try await start()
        let broker = setting.broker
        let before = try await broker.exchange(Self.token(of: setting.first))
        #expect(before.text("scope") == "anthropic:messages anthropic:count_tokens")
        try await setting.reload([#", "anthropic:count_tokens""#: ""], expecting: Self.done)
        #expect(try await broker.exchange(Self.token(of: setting.first)).text("scope") == "anthropic:messages")
        // What is out is renewed by what the rule grants now.
        let renewed = try await broker.exchange(try #require(before.text("access_token")), Self.access)
        #expect(renewed.text("scope") == "anthropic:messages")
        #expect(broker.process.error.contains("daypass revoke rule ci-main"))
        let python = try #require(Programs.python)
        let script =
            "import sqlite3,sys;print(*sqlite3.connect(sys.argv[1]).execute("
            + "\"SELECT details FROM audit WHERE kind = 'configuration.reloaded'\").fetchall())"
        let read = try await RunningProcess(
            python, ["-c", script, broker.workspace.path("data/daypass.db")]
        ).outcome()
        #expect(read.output.contains(#""caller":{"by":"signal"}"#), "\(read.output)\(read.error)")
        #expect(read.output.contains(#""rules":{"added":[],"removed":[],"changed":["ci-main"]}"#), "\(read.output)")
    }

    @Test func `keeps what is in force where a file is broken, and says where and why`() async throws {
        let setting = try await start()
        let broken = setting.broker.workspace.folder.appending(path: "daypass.yaml")
        let good = try String(contentsOf: broken, encoding: .utf8)
        for (old, new, words) in [
            ("match: {", "matches: {", "daypass.yaml:"), ("name: github", "name: [", "daypass.yaml:"),
            (RunningBroker.gatewayAudience, "https://other.example.com", "needs a restart: nothing was changed"),
        ] {
            // Another rule beside the error, which must not come into force either.
            let text = good.replacing(old, with: new).replacing(#", "anthropic:count_tokens""#, with: "")
            try await setting.reload(text, expecting: Self.refused)
            #expect(setting.broker.process.error.contains(words))
            let answer = try await setting.broker.exchange(Self.token(of: setting.first))
            #expect(answer.text("scope") == "anthropic:messages anthropic:count_tokens")
        }
        try await setting.reload(good, expecting: "nothing differs")
        let refused = try await setting.sql(
            "SELECT reason || details FROM audit WHERE kind = 'configuration.refused' ORDER BY sequence")
        #expect(refused.count == 3, "\(refused)")
        for (record, reason) in zip(refused, ["invalid", "invalid", "needs_restart"]) {
            #expect(record.hasPrefix(#"\#(reason){"caller":{"by":"signal"},"errors":""#), "\(record)")
        }
        #expect(refused.first?.contains("daypass.yaml:") == true && refused.last?.contains("audiences differ") == true)
    }

    @Test func `takes up a new issuer, and refuses tokens and sessions of one that is gone`() async throws {
        let setting = try await start()
        let broker = setting.broker
        let granted = try #require(try await broker.exchange(Self.token(of: setting.first)).text("access_token"))
        #expect(try await broker.exchange(Self.token(of: setting.second)).status == 400)
        let text = try String(contentsOf: broker.workspace.folder.appending(path: "daypass.yaml"), encoding: .utf8)
        let both = text.replacing("issuers:\n", with: Self.secondIssuer).replacing("rules:\n", with: Self.secondRule)
        try await setting.reload(both, expecting: Self.done)
        #expect(try await broker.exchange(Self.token(of: setting.second)).text("scope") == "openai:responses")
        #expect(try await broker.exchange(Self.token(of: setting.first)).status == 200)
        #expect(try await broker.send(.GET, "\(broker.telemetry)/readyz").body.contains(#""second":{"ready":true"#))
        #expect(try await broker.send(.GET, "\(broker.telemetry)/metrics").body.contains(#"rule="second-rule"} 1"#))

        let head = text.components(separatedBy: "issuers:\n")[0]
        try await setting.reload(head + Self.secondIssuer + Self.secondRule, expecting: Self.done)
        #expect(try await broker.exchange(Self.token(of: setting.first)).status == 400)
        #expect(try await broker.exchange(granted, Self.access).status == 400)
        #expect(try await broker.verify(granted).status == 200)
        #expect(broker.process.error.contains("daypass revoke issuer github"))
        #expect(!(try await broker.send(.GET, "\(broker.telemetry)/readyz").body.contains("github")))

        // A name stands for its issuer for good, also after that is gone.
        let taken = text.replacing(setting.first.issuer, with: "https://third.example.com")
        try await setting.reload(taken, expecting: Self.refused)
        #expect(broker.process.error.contains("stands for the issuer"))
        #expect(try await broker.exchange(Self.token(of: setting.second)).status == 200)
        // Under another name it is another issuer: nothing of the old one is renewed.
        let renamed = text.replacing("name: github", with: "name: hub").replacing("issuer: github", with: "issuer: hub")
        try await setting.reload(renamed, expecting: Self.done)
        #expect(try await broker.exchange(Self.token(of: setting.first)).status == 200)
        #expect(try await broker.exchange(granted, Self.access).status == 400)
    }

    @Test func `leaves nothing behind where it cannot be recorded, not even the name of an issuer`() async throws {
        let setting = try await start()
        let text = try setting.text
        _ = try await setting.sql(
            "CREATE INDEX refusal ON audit (abs(length(details) - length(details) - 9223372036854775807 - 1)) "
                + "WHERE kind = 'configuration.reloaded'")
        let both = text.replacing("issuers:\n", with: Self.secondIssuer).replacing("rules:\n", with: Self.secondRule)
        try await setting.reload(both, expecting: Self.refused)
        #expect(try await setting.broker.exchange(Self.token(of: setting.second)).status == 400)
        #expect(try await setting.sql("SELECT name FROM issuers") == ["github"])
        let refused = try await setting.sql("SELECT reason FROM audit WHERE kind = 'configuration.refused'")
        #expect(refused == ["unusable"])
        _ = try await setting.sql("DROP INDEX refusal")
        // The name is free for another issuer.
        let third = both.replacing("https://second.example.com", with: "https://third.example.com")
        try await setting.reload(third, expecting: Self.done)
        #expect(
            try await setting.sql("SELECT issuer FROM issuers WHERE name = 'second'") == ["https://third.example.com"])
    }

    @Test func `takes up a trust domain and its rules, and trusts it no more when it is gone`() async throws {
        let setting = try await start()
        let (broker, domain, text) = (setting.broker, try TestTrustDomain(), try setting.text)
        try broker.workspace.write("prod.json", domain.bundleJSON)
        #expect(try await broker.exchange(domain.token(at: Date())).status == 400)
        let domains = """
            trust_domains:
              - name: prod.example.com
                bundle: {file: prod.json}
                audience: \(TestTrustDomain.audience)
                replay: {mode: "off"}
            rules:
              - name: scorer
                trust_domain: prod.example.com
                match: {spiffe_id: "spiffe://prod.example.com/ns/ml/sa/*"}
                grant: {scope: ["anthropic:messages"], ttl: 15m, max_session: 1h}

            """
        try await setting.reload(text.replacing("rules:\n", with: domains), expecting: Self.done)
        let granted = try await broker.exchange(domain.token(at: Date()))
        let token = try #require(granted.text("access_token"), "\(granted.body)")
        #expect(try await broker.exchange(token, Self.access).status == 200)
        try await setting.reload(text, expecting: Self.done)
        #expect(try await broker.exchange(domain.token(at: Date())).status == 400)
        #expect(try await broker.exchange(token, Self.access).status == 400)
        #expect(broker.process.error.contains("daypass revoke issuer spiffe://prod.example.com"))
        #expect(try await broker.exchange(Self.token(of: setting.first)).status == 200)
    }

    @Test(.enabled(if: Programs.python != nil))
    func `asks for certificates from the first trust domain on, and no longer than there is one`() async throws {
        let (workspace, issuer) = (try Workspace(), try TestIssuer("https://issuer.example.com", algorithm: .ES256))
        try await Certificates.develop(workspace, "certificates")
        let broker = try await SecureBroker(
            workspace, certificates: "certificates", rules: RunningBroker.fileIssuer(issuer, in: workspace))
        let client = try await CertificateClient(
            of: workspace, port: broker.port, authority: "certificates/bundle.pem")
        func reload(_ text: String) async throws {
            let before = broker.process.error.components(separatedBy: Self.done).count
            try workspace.write("daypass.yaml", text)
            broker.process.signal(SIGHUP)
            try await waitUntil("it is reloaded") {
                broker.process.error.components(separatedBy: Self.done).count > before
            }
        }
        func bindsTokens() async throws -> Bool {
            let metadata = try await client.request(as: nil, "GET", "/.well-known/oauth-authorization-server")
            return metadata.json["tls_client_certificate_bound_access_tokens"] == true
        }
        let text = try String(contentsOfFile: workspace.path("daypass.yaml"), encoding: .utf8)
        #expect(try await client.token(as: "certificates/workload").status == 401)
        #expect(try await !bindsTokens())
        let domains = """
            trust_domains:
              - {name: dev.example.org, bundle: {file: certificates/bundle.pem}}
            rules:
              - name: workload
                trust_domain: dev.example.org
                match: {spiffe_id: "spiffe://dev.example.org/workload"}
                grant: {scope: ["anthropic:messages"], ttl: 15m}

            """
        try await reload(text.replacing("rules:\n", with: domains))
        let granted = try await client.token(as: "certificates/workload")
        #expect(granted.status == 200, "\(granted)")
        #expect(try await bindsTokens())
        try await reload(text)
        #expect(try await client.token(as: "certificates/workload").status == 401)
        #expect(try await !bindsTokens())
        #expect(!broker.process.error.contains("needs a restart"), "\(broker.process.error)")
        try await broker.stop()
    }

    @Test(.enabled(if: Programs.prlimit != nil))
    func `sees no difference in what the process could not be given`() async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace, replay: "off"),
            through: [try #require(Programs.prlimit), "--nofile=700:700"])
        let setting = Setting(broker: broker, first: issuer, second: issuer)
        #expect(broker.process.error.contains("fewer connections than configured"))
        try await setting.reload([#", "anthropic:count_tokens""#: ""], expecting: Self.done)
        #expect(!broker.process.error.contains("needs a restart"), "\(broker.process.error)")
    }

    /// What clients get while the rules change again and again.
    private final class Load: Sendable {
        private let state = Mutex((scopes: [String: Int](), others: [String](), isOver: false))

        var counts: [String: Int] { state.withLock { $0.scopes } }
        var others: [String] { state.withLock { $0.others } }
        var answered: Int { state.withLock { $0.scopes.values.reduce(0, +) + $0.others.count } }

        func stop() { state.withLock { $0.isOver = true } }

        func run(_ broker: RunningBroker, _ issuer: TestIssuer) async throws {
            let token = try `A broker that reads its configuration again`.token(of: issuer)
            while !state.withLock({ $0.isOver }) {
                let answer = try await broker.exchange(token)
                state.withLock { state in
                    if answer.status == 200, let scope = answer.text("scope"), let time = answer.json["expires_in"] {
                        state.scopes["\(scope) \(time)", default: 0] += 1
                    } else {
                        state.others.append(answer.body)
                    }
                }
            }
        }
    }

    @Test func `a hundred times under load: no request fails, and none sees half of each`() async throws {
        let setting = try await start()
        let (broker, load) = (setting.broker, Load())
        let issuer = setting.first
        let text = try String(contentsOf: broker.workspace.folder.appending(path: "daypass.yaml"), encoding: .utf8)
        // Issuer and rule change together: each scope goes with one lifetime.
        let other = text.replacing(#""anthropic:messages", "anthropic:count_tokens""#, with: #""openai:responses""#)
            .replacing("ttl: 15m", with: "ttl: 5m").replacing("max_lifetime: 15m", with: "max_lifetime: 16m")
        try await withThrowingDiscardingTaskGroup { group in
            defer { load.stop() }
            for _ in 0..<4 { group.addTask { try await load.run(broker, issuer) } }
            for round in 0..<100 {
                try await setting.reload(round.isMultiple(of: 2) ? other : text, expecting: Self.done)
                // Of those that were under way before, each client has one.
                let before = load.answered
                try await waitUntil("a request began since", within: 60) { load.answered > before + 4 }
            }
        }
        #expect(load.others == [])
        let seen = load.counts.keys.sorted()
        #expect(seen.count == 2 && seen[0].hasPrefix("anthropic:messages anthropic:count_tokens"), "\(load.counts)")
        #expect(seen.last?.hasPrefix("openai:responses") == true, "\(load.counts)")
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    @Test func `one at a time, however fast the signals come, and stops as ever`() async throws {
        let setting = try await start()
        for _ in 0..<50 { setting.broker.process.signal(SIGHUP) }
        try await waitUntil("the last one is over") { setting.broker.process.error.contains("nothing differs") }
        #expect(try await setting.broker.exchange(Self.token(of: setting.first)).status == 200)
        setting.broker.process.signal(SIGTERM)
        #expect(try await setting.broker.process.outcome().status == 0)
    }
}

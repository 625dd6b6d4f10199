import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite struct `A running broker` {
    private func broker(through wrapper: [String] = []) async throws -> (RunningBroker, TestIssuer) {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com")
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace)
        return (try await RunningBroker(workspace, issuersAndRules: rules, through: wrapper), issuer)
    }

    private func token(of issuer: TestIssuer, _ changes: JSONObject = [:]) throws -> String {
        let claims = issuer.claims(subject: "repo:acme/app:ref:refs/heads/main", at: Date())
        let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
        return try issuer.token(claims.merging(matching).merging(changes))
    }

    @Test func `an exchanged token passes verify, and a changed one does not`() async throws {
        let (broker, issuer) = try await broker()
        let granted = try await broker.exchange(token(of: issuer))
        #expect(granted.status == 200, "\(granted.body)")
        #expect(granted.headers.first(name: "Cache-Control") == "no-store")
        #expect(granted.text("token_type") == "Bearer")
        #expect(granted.text("issued_token_type") == "urn:ietf:params:oauth:token-type:access_token")
        #expect(granted.json["expires_in"]?.number == 900)
        let gatewayToken = try #require(granted.text("access_token"))

        let allowed = try await broker.verify(gatewayToken)
        #expect(allowed.status == 200)
        #expect(allowed.headers.first(name: "Daypass-Subject") == "github:repo:acme/app:ref:refs/heads/main")
        #expect(allowed.headers.first(name: "Daypass-Session") == granted.text("session_id"))
        #expect(try await broker.verify(gatewayToken, scope: "openai:responses").status == 403)
        var segments = TokenSegments(gatewayToken)
        segments.signature = (segments.signature.hasPrefix("A") ? "B" : "A") + segments.signature.dropFirst()
        let tampered = "\(segments.header).\(segments.payload).\(segments.signature)"
        #expect(try await broker.verify(tampered).status == 401)
    }

    @Test func `SIGTERM lets what is under way finish, refuses nothing that it accepted, and exits with 0`()
        async throws
    {
        let (broker, issuer) = try await broker()
        let tokens = try (0..<200).map { try token(of: issuer, ["jti": .string(ExactString("\($0)"))]) }
        let statuses = try await withThrowingTaskGroup(of: Int?.self) { group in
            for (index, token) in tokens.enumerated() {
                group.addTask {
                    // A connection that the server no longer accepts is no answer and no failure.
                    let answer = try? await broker.exchange(token)
                    if index == 50 { broker.process.signal(SIGTERM) }
                    return answer?.status
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let outcome = try await broker.process.outcome(within: 30)
        #expect(outcome.status == 0, "\(outcome.error)")
        #expect(statuses.compactMap { $0 }.allSatisfy { $0 == 200 })
        #expect(statuses.compactMap { $0 }.count >= 50)
        #expect(outcome.error.contains(#""message":"stopped""#))
    }

    @Test func `every token that was handed out before a kill has its session in the store`() async throws {
        let (broker, issuer) = try await broker()
        let tokens = try (0..<300).map { try token(of: issuer, ["jti": .string(ExactString("\($0)"))]) }
        let sessions = await withTaskGroup(of: String?.self) { group in
            for (index, token) in tokens.enumerated() {
                group.addTask {
                    let answer = try? await broker.exchange(token)
                    if index == 150 { broker.process.signal(SIGKILL) }
                    return answer?.text("session_id")
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }.compactMap { $0 }
        _ = try await broker.process.outcome()
        #expect(!sessions.isEmpty)

        let python = try #require(Programs.python)
        let script =
            "import sqlite3,sys;print('\\n'.join(r[0] for r in sqlite3.connect(sys.argv[1]).execute("
            + "'select sessions.id from sessions join audit on audit.session = sessions.id')))"
        let read = try await RunningProcess(
            python, ["-c", script, broker.workspace.path("data/daypass.db")]
        ).outcome()
        #expect(read.status == 0, "\(read.error)")
        let stored = Set(read.output.split(separator: "\n").map(String.init))
        #expect(stored.isSuperset(of: sessions))
    }

    @Test(.enabled(if: Programs.prlimit != nil, "prlimit is not installed"))
    func `a full disk answers 503, records nothing by halves, and recovers by itself`() async throws {
        let (broker, issuer) = try await broker()
        #expect(try await broker.exchange(token(of: issuer)).status == 200)
        let prlimit = try #require(Programs.prlimit)
        let size = try await RunningProcess(
            prlimit, ["--pid", "\(broker.process.id)", "--fsize=4096:unlimited"]
        ).outcome()
        #expect(size.status == 0, "\(size.error)")
        let full = try await broker.exchange(token(of: issuer))
        #expect(full.status == 503, "\(full.body)")
        #expect(full.text("error") == "temporarily_unavailable")
        #expect(full.headers.first(name: "Retry-After") != nil)
        #expect(try await broker.send(.GET, "\(broker.telemetry)/readyz").status == 503)

        _ = try await RunningProcess(prlimit, ["--pid", "\(broker.process.id)", "--fsize=unlimited:unlimited"])
            .outcome()
        #expect(try await broker.exchange(token(of: issuer)).status == 200)
        #expect(try await broker.send(.GET, "\(broker.telemetry)/readyz").status == 200)
    }

    @Test func `a locked database answers 503 and recovers by itself`() async throws {
        let (broker, issuer) = try await broker()
        let python = try #require(Programs.python)
        let script = """
            import sqlite3, sys, time
            c = sqlite3.connect(sys.argv[1], isolation_level=None)
            c.execute("BEGIN IMMEDIATE"); print("locked", flush=True); time.sleep(60)
            """
        let locker = try RunningProcess(python, ["-c", script, broker.workspace.path("data/daypass.db")])
        try await waitUntil("the database is locked") { locker.output.contains("locked") }
        #expect(try await broker.exchange(token(of: issuer)).status == 503)
        locker.signal(SIGKILL)
        _ = try await locker.outcome()
        #expect(try await broker.exchange(token(of: issuer)).status == 200)
    }

    @Test func `no token, assertion or key is in the log, the database or a refusal`() async throws {
        let (broker, issuer) = try await broker()
        let good = try token(of: issuer)
        let wrongBranch = try token(of: issuer, ["ref": "refs/heads/feature"])
        let expired = try token(of: issuer, ["exp": 1000, "iat": 900])
        var forged = TokenSegments(good)
        forged.signature = TokenSegments(wrongBranch).signature
        let forgedToken = "\(forged.header).\(forged.payload).\(forged.signature)"
        let granted = try await broker.exchange(good)
        let gatewayToken = try #require(granted.text("access_token"))
        var refusals: [String] = []
        for token in [wrongBranch, expired, forgedToken, "x\(good)", "secret-marker-in-garbage"] {
            let answer = try await broker.exchange(token)
            #expect(answer.status == 400)
            refusals.append(answer.body)
        }
        _ = try await broker.verify(gatewayToken + "A")
        broker.process.signal(SIGTERM)
        let outcome = try await broker.process.outcome()

        let masterKey = try String(
            contentsOf: broker.workspace.folder.appending(path: "data/master.key"), encoding: .utf8)
        var haystack = Data((outcome.error + outcome.output + refusals.joined()).utf8)
        haystack.append(try Data(contentsOf: broker.workspace.folder.appending(path: "data/daypass.db")))
        var secrets = [good, wrongBranch, expired, forgedToken, gatewayToken].flatMap { token in
            let segments = TokenSegments(token)
            return [segments.payload, segments.signature]
        }
        secrets += [
            "secret-marker-in-garbage", masterKey.split(separator: ":").last.map { String($0.prefix(40)) } ?? "",
        ]
        for secret in secrets {
            #expect(secret.utf8.count > 20)
            #expect(haystack.firstRange(of: Data(secret.utf8)) == nil, "a secret was written: \(secret.prefix(12))…")
        }
    }

    @Test func `two daemons on one store are refused in words`() async throws {
        let (broker, _) = try await broker()
        let second = try await RunningProcess(
            Programs.daypassd, ["serve", "--config", broker.workspace.path("daypass.yaml")]
        ).outcome()
        #expect(second.status == 1)
        #expect(second.error.contains("daypass.db"), "\(second.error)")
    }
}

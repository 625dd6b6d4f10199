import AsyncHTTPClient
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `A running broker` {
    private func broker(
        through wrapper: [String] = [], announcesItself: Bool = true
    ) async throws -> (RunningBroker, TestIssuer) {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com")
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace)
        let broker = try await RunningBroker(
            workspace, issuersAndRules: rules, through: wrapper, announcesItself: announcesItself)
        return (broker, issuer)
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
        // In whichever order they were taken up.
        #expect(statuses.compactMap { $0 }.count >= 25)
        #expect(outcome.error.contains(#""message":"stopped""#))
    }

    @Test(arguments: 0..<3) func `SIGTERM among connections that are being made exits with 0`(_: Int) async throws {
        let (broker, _) = try await broker()
        let request = Array("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8)
        let port = try #require(URL(string: broker.origin)?.port)
        await withTaskGroup { group in
            for client in 0..<24 {
                group.addTask {
                    var answers = 0
                    // Until nobody listens any more.
                    while answers < 5000, (try? await PlainConnection.exchange(request, port: port)) != nil {
                        answers += 1
                        if client == 0, answers == 20 { broker.process.signal(SIGTERM) }
                    }
                }
            }
        }
        let outcome = try await broker.process.outcome(within: 30)
        #expect(outcome.status == 0, "\(outcome.error)")
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

    @Test func `it goes on serving when nobody reads its log any more`() async throws {
        let shell = ["/bin/sh", "-c", #"exec "$@" 2>/dev/full"#, "sh"]
        let (broker, issuer) = try await broker(through: shell, announcesItself: false)
        #expect(try await broker.exchange("garbage").status == 400)
        #expect(try await broker.exchange(token(of: issuer)).status == 200)
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    @Test func `it goes on serving when the reader of its log stops reading`() async throws {
        // The pipe holds 64 KiB; whoever has it open for reading sleeps.
        let stalled =
            #"f=$(mktemp -d) && mkfifo "$f/log" && { sleep 30 <"$f/log" & } && exec 2>"$f/log" && rm -r "$f" && exec "$@""#
        let (broker, issuer) = try await broker(
            through: ["/bin/sh", "-c", stalled, "sh"], announcesItself: false)
        for number in 0..<500 {
            let refused = try token(of: issuer, ["ref": "x", "jti": .string(ExactString("\(number)"))])
            #expect(try await broker.exchange(refused).status == 400)
        }
        #expect(try await broker.exchange(token(of: issuer)).status == 200)
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    @Test func `a log line carries the date and the zone`() async throws {
        let (broker, _) = try await broker()
        let line = try #require(broker.process.error.split(separator: "\n").first)
        #expect(line.firstMatch(of: /"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"/) != nil, "\(line)")
    }

    @Test func `no subject can begin a log line or change how one is shown`() async throws {
        let (broker, issuer) = try await broker()
        let hidden = "\u{85}\u{9B}31m\u{2028}\u{202E}\u{2066}\u{E0041}"
        let subject = "x\"}\(hidden){\"marker\":1"
        let refused = try await broker.exchange(token(of: issuer, ["sub": .string(ExactString(subject)), "ref": "x"]))
        #expect(refused.status == 400)
        try await waitUntil("the refusal is logged") { broker.process.error.contains("exchange refused") }
        let line = try #require(broker.process.error.split(separator: "\n").last { $0.contains("marker") })
        for scalar in hidden.unicodeScalars where scalar.value > 0x7E {
            #expect(!line.unicodeScalars.contains(scalar), "\(scalar.value)")
        }
        #expect(try JSONReader.readObject(Array(line.utf8))["subject"]?.string == ExactString("github:\(subject)"))
    }

    @Test func `a refusal is one JSON line with its trace and the exact reason`() async throws {
        let (broker, issuer) = try await broker()
        let answers = [
            try await broker.exchange("garbage"),
            try await broker.exchange(token(of: issuer, ["aud": "https://somebody.else.example"])),
        ]
        broker.process.signal(SIGTERM)
        let lines = try await broker.process.outcome().error.split(separator: "\n").map {
            try JSONReader.readObject(Array($0.utf8))
        }
        // What an incident report begins with.
        let start = try #require(lines.first { $0["message"] == "starting" })
        #expect(start["version"]?.string?.isEmpty == false)
        #expect(start["configuration"]?.string?.string.hasSuffix(".yaml") == true)
        let details = [
            "three non-empty segments", "aud does not contain the audience that is configured for the issuer",
        ]
        for (answer, detail) in zip(answers, details) {
            let trace = try #require(answer.headers.first(name: "Daypass-Trace-Id"))
            let line = try #require(lines.first { $0["trace"]?.string?.string == trace })
            #expect(line["detail"]?.string?.string.contains(detail) == true, "\(line)")
        }
    }

    @Test func `it listens on IPv6 and says so as it is written in a URL`() async throws {
        let workspace = try Workspace()
        let (port, telemetry) = (try Workspace.freePort(), try Workspace.freePort())
        try workspace.write(
            "daypass.yaml",
            """
            server:
              public: {listen: "[::1]:\(port)", url: "http://[::1]:\(port)"}
              telemetry: {listen: "[::1]:\(telemetry)"}
            tokens: {audiences: ["https://gateway.example.com"]}
            store: {sqlite: daypass.db}
            master_key_file: master.key
            """)
        let configuration = workspace.path("daypass.yaml")
        let made = try await RunningProcess(Programs.daypassd, ["init", "--config", configuration]).outcome()
        try #require(made.status == 0, "\(made.error)")
        let process = try RunningProcess(Programs.daypassd, ["serve", "--config", configuration])
        try await RunningBroker.waitUntilListening(process)
        #expect(process.error.contains(#""address":"[::1]:\#(port)""#), "\(process.error)")
        let response = try await HTTPClient.shared.execute(
            HTTPClientRequest(url: "http://[::1]:\(port)/oauth/jwks"), timeout: .seconds(20))
        #expect(response.status == .ok)
        process.signal(SIGTERM)
        #expect(try await process.outcome().status == 0)
    }

    @Test func `a stop leaves nothing but its own JSON lines in the log, time and again`() async throws {
        let (broker, _) = try await broker()
        var process = broker.process
        for _ in 0..<10 {
            #expect(try await broker.send(.GET, "/oauth/jwks").status == 200)
            process.signal(SIGTERM)
            let outcome = try await process.outcome()
            #expect(outcome.status == 0)
            for line in outcome.error.split(separator: "\n") {
                #expect((try? JSONReader.readObject(Array(line.utf8))) != nil, "\(line)")
            }
            process = try RunningProcess(
                Programs.daypassd, ["serve", "--config", broker.workspace.path("daypass.yaml")])
            try await RunningBroker.waitUntilListening(process)
        }
    }

    @Test func `an issuer that cannot be reached is named by readiness with its reason, and its tokens answer 503`()
        async throws
    {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com")
        let port = try Workspace.freePort()
        let keys = "keys: {url: \"http://127.0.0.1:\(port)/jwks\"}\n    allow_private: true"
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace)
            .replacing("keys: {file: issuer.json}", with: keys)
        let broker = try await RunningBroker(workspace, issuersAndRules: rules)
        let refused = try await broker.exchange(token(of: issuer))
        #expect(refused.status == 503, "\(refused.body)")
        #expect(refused.headers.first(name: "Retry-After") == "1")
        let readiness = try await broker.send(.GET, "\(broker.telemetry)/readyz")
        #expect(readiness.status == 503)
        let state = try #require(readiness.json["issuers"]?.object?["github"]?.object, "\(readiness.body)")
        #expect(state["ready"] == .bool(false))
        #expect(state["last_error"]?.string?.string.contains("127.0.0.1:\(port)") == true, "\(readiness.body)")
        #expect(try await broker.send(.GET, "/healthz").status == 200)
    }

    @Test func `a process that holds keys leaves no core dump`() async throws {
        let (broker, _) = try await broker()
        let limits = try String(contentsOfFile: "/proc/\(broker.process.id)/limits", encoding: .utf8)
        let core = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
        #expect(core.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"], "\(core)")
    }

    @Test func `what follows an upgrade or a tunnel is not kept in memory`() async throws {
        let (broker, _) = try await broker()
        let python = try #require(Programs.python)
        let script = """
            import socket, sys
            for head in [b"CONNECT /verify HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
                         b"GET /healthz HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n"]:
                c = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
                c.settimeout(5)
                c.sendall(head)
                try:
                    for _ in range(1600): c.sendall(b"A" * 65536)
                    print("taken")
                except OSError: print("ended")
            """
        let port = broker.origin.split(separator: ":").last.map(String.init) ?? ""
        let flood = try await RunningProcess(python, ["-c", script, port]).outcome()
        #expect(flood.output == "ended\nended\n", "\(flood.error)")
    }

    @Test(.enabled(if: Programs.prlimit != nil, "prlimit is not installed"))
    func `more connections than open files allow leave readiness and the others alone`() async throws {
        let prlimit = try #require(Programs.prlimit)
        let (broker, _) = try await broker(through: [prlimit, "--nofile=300:300"])
        let python = try #require(Programs.python)
        let script = """
            import socket, sys, time
            c = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) for _ in range(400)]
            print("open", flush=True); time.sleep(60)
            """
        let port = broker.origin.split(separator: ":").last.map(String.init) ?? ""
        let crowd = try RunningProcess(python, ["-c", script, port])
        try await waitUntil("the connections are open") { crowd.output.contains("open") }
        #expect(try await broker.send(.GET, "\(broker.telemetry)/readyz").status == 200)
        #expect(broker.process.error.contains("fewer connections than configured"))
        crowd.signal(SIGKILL)
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

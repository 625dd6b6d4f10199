import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `daypass token` {
    private func named(_ stage: TokenStage) -> [String] {
        ["token", "--identity", "file:\(stage.workspace.path("home/identity"))"]
    }

    @Test func `prints a token and nothing else, and the same again from its cache`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        let first = try await stage.daypass(named(stage))
        #expect(first.status == 0 && first.error == "", "\(first.error)")
        #expect(try await stage.isGood(first.output))
        let second = try await stage.daypass(named(stage))
        #expect(second.output == first.output && second.error == "")
        #expect(try await stage.granted() == 1)
        let folder = stage.workspace.path("home/.cache/daypass")
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let mode = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")[.posixPermissions] as? Int
            #expect(mode == 0o600, "\(name)")
        }
    }

    @Test(.enabled(if: Programs.curl != nil, "curl is not installed"))
    func `and exec do what the README says`() async throws {
        let stage = try await TokenStage()
        try stage.workspace.write("token", stage.proof())
        let readme = try String(contentsOf: Programs.repository.appending(path: "README.md"), encoding: .utf8)
        let section = try #require(readme.components(separatedBy: "\n## ").first { $0.hasPrefix("Get a token\n") })
        let block = try #require(section.components(separatedBy: "\n```sh\n").last).components(separatedBy: "\n```")[0]
        try #require(block.contains("=http://127.0.0.1:8080 "))
        let programs = URL(filePath: Programs.daypass).deletingLastPathComponent().path(percentEncoded: false)
        var environment = ["HOME": stage.workspace.path("")]
        environment["PATH"] = "\(programs):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
        environment["LD_LIBRARY_PATH"] = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"]
        let outcome = try await RunningProcess(
            "/bin/sh", ["-ec", block.replacing("http://127.0.0.1:8080", with: stage.broker.origin)],
            in: stage.workspace.folder, environment: environment
        ).outcome()
        #expect(outcome.status == 0 && outcome.output == "200\nhttps://gateway.example.com\n", "\(outcome)")
        #expect(outcome.error.split(separator: "\n").count == 1 && outcome.error.contains("the token ends at"))
    }

    @Test func `asks for another scope and another rule apart`() async throws {
        let stage = try await TokenStage(
            rules: """
                  - name: narrow
                    issuer: github
                    match: {repository_id: "123456"}
                    grant: {scope: ["anthropic:count_tokens"], ttl: 15m}

                """)
        try stage.settle()
        var printed: Set<String> = []
        for more in [[], ["--scope", "anthropic:messages"], ["--rule", "narrow"]] {
            let outcome = try await stage.daypass(named(stage) + more + ["--json"])
            let json = try JSONReader.readObject(Array(outcome.output.utf8))
            printed.insert(try #require(json["access_token"]?.string?.string))
            let scope = ["": "anthropic:messages anthropic:count_tokens", "--scope": "anthropic:messages"]
            #expect(json["scope"]?.string?.string == scope[more.first ?? ""] ?? "anthropic:count_tokens")
            #expect((json["expires_in"]?.number ?? 0) > 890)
        }
        #expect(printed.count == 3)
        // In any order it is the same.
        let scopes = ["--scope", "anthropic:count_tokens", "--scope", "anthropic:messages"]
        let (one, other) = (
            try await stage.daypass(named(stage) + scopes),
            try await stage.daypass(named(stage) + ["--scope", "anthropic:messages anthropic:count_tokens"])
        )
        #expect(one.status == 0 && one.output == other.output)
    }

    @Test func `prints headers for a helper of MCP`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        let (token, headers) = (
            try await stage.daypass(named(stage)), try await stage.daypass(named(stage) + ["--header"])
        )
        let json = try JSONReader.readObject(Array(headers.output.utf8))
        #expect(json == ["Authorization": .string(ExactString("Bearer \(token.output.dropLast())"))])
        #expect(headers.output.split(separator: "\n").count == 1)
    }

    @Test func `gives another token after the kept one was revoked`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        let first = try await stage.daypass(named(stage))
        let revoked = try await AdministeredBroker.daypass(
            ["revoke", "subject", "github:job", "--yes", "--wait"],
            ["DAYPASS_SOCKET": stage.workspace.path("run/admin.sock")])
        try #require(revoked.status == 0, "\(revoked.error)")
        // What was checked less than two seconds ago is not asked about.
        let end = Date(timeIntervalSinceNow: 2.1)
        try await waitUntil("the check is old") { Date() > end }
        let second = try await stage.daypass(named(stage))
        #expect(second.status == 0 && second.output != first.output)
        #expect(try await stage.isGood(second.output))
    }

    @Test func `makes one exchange where fifty ask at once`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        let all = try (0..<50).map { _ in try stage.start(named(stage)) }
        var outputs: Set<String> = []
        for process in all {
            let outcome = try await process.outcome()
            #expect(outcome.status == 0 && outcome.error == "", "\(outcome.error)")
            outputs.insert(outcome.output)
        }
        #expect(outputs.count == 1)
        #expect(try await stage.granted() == 1)
    }

    @Test func `makes one exchange where twenty are refused at once, and all are told the same`() async throws {
        let stage = try await TokenStage()
        try stage.workspace.write("home/identity", stage.proof(ref: "refs/heads/feature"))
        // Until all of them wait: whoever comes later asks for himself.
        let folder = stage.workspace.path("home/.cache/daypass")
        let first = try await stage.daypass(named(stage))
        let name = try #require(
            try FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasSuffix(".lock") })
        let descriptor = open("\(folder)/\(name)", O_RDWR)
        try #require(flock(descriptor, LOCK_EX) == 0)
        let all = try (0..<20).map { _ in try stage.start(named(stage)) }
        try await waitUntil("they wait") {
            all.allSatisfy { process in
                let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.id)/task")) ?? []
                return files.count > 1
            }
        }
        close(descriptor)
        var errors: Set<String> = []
        for process in all {
            let outcome = try await process.outcome()
            #expect(outcome.status == 1 && outcome.output == "", "\(outcome)")
            errors.insert(outcome.error)
        }
        #expect(first.status == 1 && errors.count == 1 && !errors.contains(first.error), "\(errors)")
    }

    @Test func `is refused in one line with the trace id, and ends with 1`() async throws {
        let stage = try await TokenStage()
        let proof = try stage.proof(ref: "refs/heads/feature")
        try stage.workspace.write("home/identity", proof)
        let outcome = try await stage.daypass(named(stage))
        #expect(outcome.status == 1 && outcome.output == "")
        #expect(
            outcome.error.split(separator: "\n").count == 1 && outcome.error.contains("(trace "), "\(outcome.error)")
        #expect(!outcome.error.contains(proof) && !outcome.error.contains("eyJ"))
    }

    @Test(
        arguments: [
            (["token"], ["DAYPASS_URL": nil], 2), (["token", "--url", "http://example.com"], [:], 2),
            (["token", "--identity", "nobody"], [:], 2), (["token", "--json", "--header"], [:], 2),
            (["token", "--min-ttl", "25h", "--identity", "env:X"], [:], 2), (["token"], [:], 77),
            (["token", "--identity", "env:NOT_SET"], [:], 77), (["token", "--identity", "file:/nonexistent"], [:], 77),
            (["token", "--identity", "x509:/nonexistent,/nonexistent"], [:], 77),
            (["token", "--identity", "github"], [:], 77),
            (["token", "--identity", "buildkite"], ["PATH": "/nonexistent"], 77),
            (["token", "--identity", "env:X"], ["X": "a.b.c"], 69),
            (["token", "--identity", "env:X", "--scope", ""], ["X": "a.b.c"], 2),
            (["token", "--identity", "env:X", "--scope", " "], ["X": "a.b.c"], 2),
            (["token"], ["DAYPASS_IDENTITY": "env:eyJhbGciOiJFUzI1NiJ9.e30.c2ln"], 2),
            (["token"], ["DAYPASS_IDENTITY": "file:/eyJhbGciOiJFUzI1NiJ9.e30.c2ln"], 77),
            (["token", "--identity", "env:X", "--ca-file", "/nonexistent"], ["X": "a.b.c"], 2),
        ] as [([String], [String: String?], Int32)])
    func `says in one line why there is none`(arguments: [String], more: [String: String?], status: Int32) async throws
    {
        let workspace = try Workspace()
        try workspace.write("home/x", "")
        let usual = ["HOME": workspace.path("home"), "DAYPASS_URL": "http://127.0.0.1:\(try Workspace.freePort())"]
        let outcome = try await TokenStage.start(arguments, usual, more).outcome()
        #expect(outcome.status == status && outcome.output == "", "\(outcome)")
        // Wrong options have the usage below the line.
        if !arguments.contains("--header"), !arguments.contains("25h") {
            #expect(outcome.error.split(separator: "\n").count == 1, "\(outcome.error)")
        }
        #expect(!outcome.error.contains("eyJ"))
    }

    @Test func `exchanges a certificate, and a bound token is checked with it`() async throws {
        let workspace = try Workspace()
        try await Certificates.develop(workspace, "certificates", "prod.example.com", "/ns/ml/sa/scorer")
        let broker = try await SecureBroker(
            workspace, certificates: "certificates", tls: "client_certificates: request",
            rules: """
                trust_domains:
                  - {name: prod.example.com, bundle: {file: certificates/bundle.pem}}
                rules:
                  - name: scorer
                    trust_domain: prod.example.com
                    match: {spiffe_id: "spiffe://prod.example.com/ns/ml/sa/*"}
                    \(SecureBroker.grantOfBoth), bind: true}

                """)
        let files = ["workload.pem", "workload.key"].map { workspace.path("certificates/\($0)") }.joined(separator: ",")
        let arguments = [
            "token", "--url", broker.origin, "--identity", "x509:\(files)", "--ca-file",
            workspace.path("certificates/bundle.pem"),
        ]
        let usual = ["HOME": workspace.path("")]
        let first = try await TokenStage.start(arguments, usual).outcome()
        #expect(first.status == 0 && first.error == "", "\(first.error)")
        let end = Date(timeIntervalSinceNow: 2.1)
        try await waitUntil("the check is old") { Date() > end }
        let second = try await TokenStage.start(arguments, usual).outcome()
        #expect(
            second.output == first.output && second.error == "", "checked without its certificate it would be refused")
        try await broker.stop()
    }
}

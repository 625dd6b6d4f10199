import BrokerTesting
import Foundation
import JOSE
import Testing

/// The token services of CI providers, imitated as their documentation describes them, and `daypass token` in a job of each.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `In a job of` {
    private static let secret = "job-secret-of-github"

    private func github(_ stage: TokenStage, _ tokens: [String: String]) async throws -> (
        RunningProcess, [String: String]
    ) {
        let json = JSONObject(
            uniqueMembers: tokens.map { (ExactString($0.key), JSONValue.string(ExactString($0.value))) })
        try stage.workspace.write("tokens.json", json.encoded())
        try stage.workspace.write("temp/x", "")
        let port = try Workspace.freePort()
        let script = Programs.repository.appending(path: "Tests/Peers/github-tokens.py").path(percentEncoded: false)
        let service = try RunningProcess(
            try #require(Programs.python), [script, "\(port)", Self.secret, stage.workspace.path("tokens.json")])
        try await waitUntil("the service listens") {
            try #require(service.isRunning, "\(service.error)")
            return Workspace.isListening(port)
        }
        return (
            service,
            [
                "GITHUB_ACTIONS": "true", "CI": "true", "RUNNER_TEMP": stage.workspace.path("temp"),
                "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:\(port)/abc//idtoken/1/2?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": Self.secret,
            ]
        )
    }

    @Test(.enabled(if: Programs.curl != nil, "curl is not installed"))
    func `GitHub Actions it asks for our audience, as the documented curl line does`() async throws {
        let stage = try await TokenStage()
        let proof = try stage.proof()
        let (service, job) = try await github(stage, [RunningBroker.audience: proof])
        // The line of GitHub's documentation, with our audience.
        let line = """
            curl -s -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
            "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=\(RunningBroker.audience)"
            """
        var variables = job
        variables["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        let curl = try await RunningProcess("/bin/sh", ["-c", line], environment: variables).outcome()
        #expect(try JSONReader.readObject(Array(curl.output.utf8))["value"]?.string?.string == proof)

        let outcome = try await stage.daypass(["token"], job)
        #expect(outcome.status == 0 && outcome.error == "", "\(outcome.error)")
        #expect(try await stage.isGood(outcome.output))
        let asked = service.output.split(separator: "\n")
        #expect(asked == ["200 \(RunningBroker.audience)", "200 \(RunningBroker.audience)"])
        // In the job's folder, and not in the home.
        let kept = try FileManager.default.contentsOfDirectory(atPath: stage.workspace.path("temp"))
        #expect(kept.contains("daypass-\(geteuid())"))
        #expect(!FileManager.default.fileExists(atPath: stage.workspace.path("home/.cache")))
        // Another job in the same folder gets none of it.
        let other = try await stage.daypass(
            ["token"], job.merging(["ACTIONS_ID_TOKEN_REQUEST_TOKEN": "another"]) { $1 })
        #expect(other.status == 77 && other.output == "", "\(other)")
        #expect(!other.error.contains("another") && !other.error.contains(Self.secret))
        #expect(other.error == "daypass: GitHub's token service answers 401\n")
    }

    @Test func `GitHub Actions without the permission it says which line is missing`() async throws {
        let stage = try await TokenStage()
        let outcome = try await stage.daypass(["token"], ["GITHUB_ACTIONS": "true"])
        #expect(outcome.status == 77 && outcome.error.contains("permissions: id-token: write"), "\(outcome.error)")
    }

    @Test func `GitLab it takes the variable, and the token renews itself when that has expired`() async throws {
        let stage = try await TokenStage()
        // Eight seconds are left, with those by which the broker lets clocks differ.
        let proof = try stage.proof(at: Date(timeIntervalSinceNow: -322))
        let job = [
            "GITLAB_CI": "true", "CI": "true", "CI_JOB_ID": "7", "DAYPASS_ID_TOKEN": proof,
            "TMPDIR": stage.workspace.path(""),
        ]
        let first = try await stage.daypass(["token"], job)
        #expect(first.status == 0, "\(first.error)")
        try await waitUntil("the identity token has expired", within: 60) {
            try await stage.broker.exchange(proof).status == 400
        }
        let renewed = try await stage.daypass(["token", "--min-ttl", "15m"], job)
        #expect(renewed.status == 0 && renewed.output != first.output, "\(renewed.error)")
        #expect(try await stage.isGood(renewed.output))
        let other = try await stage.daypass(["token"], job.merging(["CI_JOB_ID": "8"]) { $1 })
        #expect(other.status == 1 && other.output == "", "another job's token is not printed")
    }

    /// A program in the place of the provider's, which knows its documented arguments and nothing else.
    private func program(_ name: String, _ arguments: String, _ stage: TokenStage) async throws -> [String: String?] {
        let proof = try stage.proof()
        try stage.workspace.write("temp/x", "")
        try stage.workspace.write(
            "made/\(name)",
            """
            #!/bin/sh
            echo "$*" >> '\(stage.workspace.path("asked"))'
            [ "$*" = '\(arguments)' ] || { echo "no such arguments: \(proof) $BUILDKITE_AGENT_ACCESS_TOKEN" >&2; exit 3; }
            sleep 60 >/dev/null &
            echo '\(proof)'

            """)
        // By a program: a file that this process writes may be open in another test's child, and cannot be run then.
        try stage.workspace.write("bin/x", "")
        let installed = try await RunningProcess(
            "/usr/bin/install", [stage.workspace.path("made/\(name)"), stage.workspace.path("bin")]
        ).outcome()
        try #require(installed.status == 0, "\(installed.error)")
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        return [
            "PATH": "\(stage.workspace.path("bin")):\(path)", "CI": "true", "TMPDIR": stage.workspace.path("temp"),
        ]
    }

    @Test func `Buildkite it has the agent ask, once for a job`() async throws {
        let stage = try await TokenStage()
        var job = try await program("buildkite-agent", "oidc request-token --audience \(RunningBroker.audience)", stage)
        job["BUILDKITE"] = "true"
        job["BUILDKITE_AGENT_ACCESS_TOKEN"] = "bkaj_of_this_agent"
        job["BUILDKITE_JOB_ID"] = "0184990a-477b-4fa8-9968-496074483cee"
        let first = try await stage.daypass(["token"], job)
        #expect(first.status == 0 && first.error == "", "\(first.error)")
        #expect(try await stage.isGood(first.output))
        #expect(try await stage.daypass(["token"], job).output == first.output)
        job["BUILDKITE_JOB_ID"] = "another"
        #expect(try await stage.daypass(["token"], job).output != first.output)
        let asked = try String(contentsOfFile: stage.workspace.path("asked"), encoding: .utf8)
        #expect(asked.split(separator: "\n").count == 2)
        // What the agent says is shown without tokens.
        let refused = try await stage.daypass(["token", "--audience", "https://other.example.com"], job)
        #expect(
            refused.status == 77 && refused.error.contains("ends with 3: no such arguments: (a token) (a token)"),
            "\(refused.error)")
    }

    @Test func `CircleCI it has the command ask, with our audience as a claim`() async throws {
        let stage = try await TokenStage()
        var job = try await program("circleci", #"run oidc get --claims {"aud":"\#(RunningBroker.audience)"}"#, stage)
        job["CIRCLECI"] = "true"
        // Its audience is the organisation: it is of no use here.
        job["CIRCLE_OIDC_TOKEN_V2"] = try stage.proof(audience: "3e8f0a52-6b0f-4f0e-9a51-5b1c7d3a9e10")
        let outcome = try await stage.daypass(["token"], job)
        #expect(outcome.status == 0 && outcome.error == "", "\(outcome.error)")
        #expect(try await stage.isGood(outcome.output))
    }

    @Test func `Kubernetes it reads the projected file each time`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        let pod: [String: String?] = ["DAYPASS_KUBERNETES_TOKEN_FILE": stage.workspace.path("home/identity")]
        let first = try await stage.daypass(["token"], pod)
        #expect(first.status == 0 && first.error == "", "\(first.error)")
        try stage.settle()
        let second = try await stage.daypass(["token"], pod)
        #expect(second.status == 0 && second.output != first.output, "a rotated file is another proof")
    }
}

import BrokerTesting
import Foundation
import Testing

@Suite struct `daypassd check` {
    private func check(_ workspace: Workspace, _ arguments: String...) async throws -> RunningProcess.Outcome {
        try await RunningProcess(
            Programs.daypassd, ["check", "--config", workspace.path("daypass.yaml")] + arguments
        ).outcome()
    }

    private func workspace(_ rules: String) throws -> Workspace {
        let workspace = try Workspace()
        try workspace.write(
            "daypass.yaml",
            """
            server: {public: {listen: "127.0.0.1:0", url: "https://daypass.example.com"}}
            tokens: {audiences: ["https://gateway.example.com"]}
            store: {sqlite: daypass.db}
            master_key_file: master.key
            include: [rules.yaml]
            issuers: [{name: github, issuer: "https://token.actions.githubusercontent.com"}]
            """)
        try workspace.write("rules.yaml", rules)
        return workspace
    }

    private static let weak = """
        rules:
          - name: ci
            issuer: github
            match: {repository_id: "123456", repository: acme/app, ref_protected: true}
            grant: {scope: [anthropic:messages], ttl: 5m}
        """
    private static let warnings = [
        "rules.yaml:4:38: repository beside repository_id",
        "rules.yaml:4:75: rule ci can never match: ref_protected is text",
        "rules.yaml:5:47: clients keep what a helper prints for 5 minutes",
    ]

    @Test func `prints warnings with their places on standard error, and exits with 0`() async throws {
        let workspace = try workspace(Self.weak)
        let checked = try await check(workspace)
        #expect(checked.status == 0, "\(checked.error)")
        #expect(checked.output.hasSuffix("daypass.yaml: valid, 1 issuer, 1 rule\n"))
        let lines = checked.error.split(separator: "\n")
        #expect(lines.count == Self.warnings.count)
        for (line, warning) in zip(lines, Self.warnings) {
            #expect(line.hasPrefix("warning: /"), "\(line)")
            #expect(line.contains(warning), "\(line)")
        }
    }

    @Test func `takes them for errors with --strict, prints nothing on standard output and exits with 1`() async throws
    {
        let workspace = try workspace(Self.weak)
        let checked = try await check(workspace, "--strict")
        #expect(checked.status == 1)
        #expect(checked.output == "")
        #expect(
            checked.error.hasPrefix("daypassd: the configuration has warnings, and --strict takes them for errors\n"))
        for warning in Self.warnings { #expect(checked.error.contains(warning), "\(checked.error)") }
    }

    @Test func `has nothing to say of a sound configuration, strict or not`() async throws {
        let sound = Self.weak.replacing(", repository: acme/app, ref_protected: true", with: "").replacing(
            "5m", with: "15m")
        let workspace = try workspace(sound)
        for arguments in [[], ["--strict"]] {
            let checked = try await RunningProcess(
                Programs.daypassd, ["check", "--config", workspace.path("daypass.yaml")] + arguments
            ).outcome()
            #expect(checked.status == 0, "\(checked.error)")
            #expect(checked.error == "")
        }
    }

    @Test func `what init writes passes --strict as it is`() async throws {
        let workspace = try Workspace()
        let made = try await RunningProcess(Programs.daypassd, ["init"], in: workspace.folder).outcome()
        try #require(made.status == 0, "\(made.error)")
        let checked = try await RunningProcess(Programs.daypassd, ["check", "--strict"], in: workspace.folder).outcome()
        #expect(checked.status == 0, "\(checked.error)")
        #expect(checked.error == "")
    }

    @Test func `names an error that --strict has nothing to do with in the same way`() async throws {
        let workspace = try workspace(Self.weak.replacing("anthropic:messages", with: "'a b'"))
        for checked in [try await check(workspace), try await check(workspace, "--strict")] {
            #expect(checked.status == 1)
            #expect(checked.output == "")
            #expect(checked.error.contains("rules.yaml:5:21: expected a scope"), "\(checked.error)")
            #expect(!checked.error.contains("warning"))
        }
    }
}

@Suite struct `daypassd serve` {
    @Test func `logs the warnings of its configuration`() async throws {
        let workspace = try Workspace()
        try workspace.write("spare.json", TestIssuer().jwks)
        let broker = try await RunningBroker(
            workspace,
            issuersAndRules: """
                issuers:
                  - {name: spare, issuer: "https://spare.example.com", keys: {file: spare.json}}

                """)
        #expect(broker.process.error.contains(#""level":"warning""#), "\(broker.process.error)")
        #expect(broker.process.error.contains("no rule is for the issuer spare"))
    }
}

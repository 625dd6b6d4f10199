import BrokerTesting
import Foundation
import Testing

@Suite(.onOwnThreads) struct `daypassd check` {
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
            server:
              public:
                listen: "127.0.0.1:0"
                url: "https://daypass.example.com"
                trusted_proxies: ["127.0.0.1"]
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
        #expect(checked.output.hasSuffix("daypass.yaml: valid, 1 issuer, 0 trust domains, 1 rule\n"))
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

/// Each slip that the linter knows, in a file of its own, with the place and the advice, and the exit code that CI sees.
@Suite(.onOwnThreads) struct `daypassd check --strict` {
    struct Slip: Sendable, CustomTestStringConvertible {
        let name: String
        let rules: String
        let warning: String
        var server = "trusted_proxies: [\"127.0.0.1\"]"

        var testDescription: String { name }
    }

    private static func rule(_ match: String, _ grant: String = "ttl: 15m", issuer: String = "corp") -> String {
        """
        rules:
          - name: ci
            issuer: \(issuer)
            match: {\(match)}
            grant: {scope: [anthropic:messages], \(grant)}

        """
    }

    static let slips = [
        Slip(
            name: "an audience-only rule", rules: rule("aud: \"https://daypass.example.com\""),
            warning: "rules.yaml:4:12: rule ci tests only aud, which does not tell one subject of corp from another: "
                + "match a claim that says who it is, such as sub"),
        Slip(
            name: "a mutable name where an id exists",
            rules: rule("repository_owner_id: \"1\", repository: acme/app", issuer: "github"),
            warning: "rules.yaml:4:39: repository is a name, which can be given up and taken by somebody else: "
                + "match repository_id"),
        Slip(
            name: "a mutable name beside its id",
            rules: rule("repository_id: \"1\", repository: acme/app", issuer: "github"),
            warning: "rules.yaml:4:33: repository beside repository_id adds nothing until it is renamed"),
        Slip(
            name: "a rule that can never match",
            rules: rule("repository_id: \"1\", ref_protected: true", issuer: "github"),
            warning: "rules.yaml:4:48: rule ci can never match: ref_protected is text"),
        Slip(
            name: "a rule that an earlier one hides",
            rules: rule("sub: \"al*\"")
                + "  - {name: late, issuer: corp, match: {sub: alice}, grant: {scope: [anthropic:messages]}}\n",
            warning: "rules.yaml:6:"),
        Slip(
            name: "an unused issuer",
            rules: rule("sub: alice")
                + "issuers: [{name: spare, issuer: \"https://spare.example.com\", keys: {file: keys.json}}]\n",
            warning: "rules.yaml:6:18: no rule is for the issuer spare: write one, or take the issuer out"),
        Slip(
            name: "a ttl that a helper's cache outlives", rules: rule("sub: alice", "ttl: 359s"),
            warning: "rules.yaml:5:47: clients keep what a helper prints for 5 minutes, so a token of 359s expires in "
                + "their hands: write at least 6m"),
        Slip(
            name: "a proxy that is not trusted", rules: rule("sub: alice"),
            warning: "daypass.yaml:5:22: clients come through a proxy", server: "trusted_proxies: []"),
    ]

    private func check(_ slip: Slip, _ arguments: [String]) async throws -> RunningProcess.Outcome {
        let workspace = try Workspace()
        try workspace.write("keys.json", TestIssuer().jwks)
        try workspace.write(
            "daypass.yaml",
            """
            server:
              public:
                listen: "127.0.0.1:0"
                url: "https://daypass.example.com"
                \(slip.server)
            tokens: {audiences: ["https://gateway.example.com"]}
            store: {sqlite: daypass.db}
            master_key_file: master.key
            include: [rules.yaml]
            issuers:
              - {name: github, issuer: "https://token.actions.githubusercontent.com"}
              - {name: corp, issuer: "https://login.example.com", keys: {file: keys.json}}
            """)
        let used = "  - {name: all, issuer: corp, match: {sub: bob}, grant: {scope: [a]}}\n"
        let corp = slip.rules.contains("issuer: github") ? used : ""
        try workspace.write("rules.yaml", slip.rules + corp)
        let command = ["check", "--config", workspace.path("daypass.yaml")]
        return try await RunningProcess(Programs.daypassd, command + arguments).outcome()
    }

    @Test(arguments: slips)
    func `names each slip with its line and advice, alone, and exits with 1`(slip: Slip) async throws {
        let strict = try await check(slip, ["--strict"])
        #expect(strict.status == 1)
        #expect(strict.output == "")
        let lines = strict.error.split(separator: "\n").dropFirst()
        #expect(lines.count == 1, "\(strict.error)")
        #expect(lines.first?.contains(slip.warning) == true, "\(strict.error)")
        let lenient = try await check(slip, [])
        #expect(lenient.status == 0, "\(lenient.error)")
        #expect(lenient.error.contains(slip.warning))
    }

    @Test(arguments: [[], ["--strict"]])
    func `refuses a rule of a shared issuer without its required claim, strict or not`(
        _ arguments: [String]
    ) async throws {
        let slip = Slip(name: "", rules: Self.rule("ref: refs/heads/main", issuer: "github"), warning: "")
        let checked = try await check(slip, arguments)
        #expect(checked.status == 1)
        #expect(checked.error.contains("rules.yaml:2:11: "), "\(checked.error)")
        #expect(checked.error.contains("repository_id"), "\(checked.error)")
    }
}

@Suite(.onOwnThreads) struct `daypassd serve` {
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

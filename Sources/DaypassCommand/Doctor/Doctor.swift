import ArgumentParser
import BrokerClient
import FoundationEssentials

/// `daypass doctor`
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check what clients need on this machine, and say what to do.",
        discussion: """
            It looks at the broker, this machine's clock, variables that would win over a gateway token, Claude Code's \
            settings and their helper, and what federation needs; and it gets a token in the way that the helper (or \
            federation, or daypass token) does, with what that is told of the broker, the identity, the audience and the \
            authorities. Flags win over that. It changes nothing on this machine and prints no secret.

            The token opens a session at the broker, and uses the identity token once: where its issuer accepts it only \
            once (replay: once), give --no-token. A helper that is another program is not run.

            Exit codes: 0 no problem (warnings are none), 1 a problem, 2 wrong usage, 69 broker unreachable.

            Example: daypass doctor --url https://daypass.example.com --identity x509:svid.pem,svid.key
            """)

    @Option(help: ArgumentHelp("The broker; else the helper's, else DAYPASS_URL.", valueName: "url"))
    var url: String?

    @Option(help: .authorities, completion: .file())
    var caFile: String?

    @Option(help: "Who asks, as for daypass token; else the helper's, else DAYPASS_IDENTITY, else what is found.")
    var identity: String?

    @Option(help: "Of identity tokens, where the broker's issuer has another one than the broker's URL.")
    var audience: String?

    @Flag(name: .customLong("no-token"), help: "Get no token.")
    var isWithoutToken = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
        let variables = ClientVariables(environment: environment, settings: ClaudeCodeSettings.all(environment))
        var flags = TokenArguments()
        (flags.url, flags.identity, flags.audience, flags.caFile) = (url, identity, audience, caFile)
        let setup = CheckedSetup(variables, flags)
        let broker = await BrokerFindings(setup)
        var findings = broker.findings
        findings += await VariableFindings(variables, setup, broker.metadata).findings
        let client = ClaudeCodeFindings(variables, setup.helper, isFederating: setup.federation != nil)
        findings += client.findings
        findings += try await IdentityFindings(setup: setup, broker: broker.metadata, asks: !isWithoutToken).findings()

        if json {
            try Terminal.print(.object(["findings": .array(findings.map(\.json))]))
        } else {
            for finding in findings { Terminal.print(finding.line) }
        }
        try Terminal.check()
        if let unreachable = broker.unreachable { throw CommandFailure(.unreachable, unreachable) }
        let problems = findings.count(where: { $0.level == .problem })
        if problems > 0 { throw CommandFailure(.refused, problems == 1 ? "1 problem" : "\(problems) problems") }
    }
}

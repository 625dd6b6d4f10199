import ArgumentParser
import BrokerClient
import FoundationEssentials

/// `daypass doctor`
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check what clients need on this machine, and say what to do.",
        discussion: """
            It looks at the broker (DAYPASS_URL), this machine's clock, variables that would win over a gateway token, \
            Claude Code's settings and their helper, the variables of federation, and the identity: the one that \
            --identity or DAYPASS_IDENTITY names, else the job's. It changes nothing and prints no secret.

            Exit codes: 0 no problem (warnings are none), 1 a problem, 2 wrong usage, 69 broker unreachable.

            Example: daypass doctor --url https://daypass.example.com --identity x509:svid.pem,svid.key
            """)

    @Option(help: ArgumentHelp("The broker; else DAYPASS_URL.", valueName: "url"))
    var url: String?

    @Option(
        help: ArgumentHelp(
            "The authorities that vouch for the broker's certificate, PEM; else DAYPASS_CA_FILE, else the system's.",
            valueName: "file"),
        completion: .file())
    var caFile: String?

    @Option(help: "file:PATH, env:NAME or x509:CERT,KEY; else DAYPASS_IDENTITY.")
    var identity: String?

    @Option(help: "Of identity tokens, where the broker's issuer has another one than the broker's URL.")
    var audience: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
        let broker = await BrokerFindings(
            url ?? environment["DAYPASS_URL"], authorities: caFile ?? environment["DAYPASS_CA_FILE"])
        let settings = ClaudeCodeSettings.all(environment)
        let identity = IdentityFindings(
            environment: environment, audience: audience ?? environment["DAYPASS_AUDIENCE"] ?? broker.metadata?.issuer)
        var findings = broker.findings
        findings += VariableFindings(environment, settings, issuer: broker.metadata?.issuer).findings
        findings += ClaudeCodeFindings(environment, settings).findings
        findings += try identity.findings(self.identity ?? environment["DAYPASS_IDENTITY"])

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

import ArgumentParser
import BrokerClient
import CProcess
import FoundationEssentials

/// `daypass token`
struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Print a gateway token, and nothing else.",
        discussion: """
            Who asks is --identity, DAYPASS_IDENTITY, or the first of these that there is: a job of GitHub Actions \
            (permissions: id-token: write), of GitLab (id_tokens: DAYPASS_ID_TOKEN), of Buildkite, of CircleCI; the projected \
            token of a Kubernetes pod in /var/run/secrets/daypass/token (DAYPASS_KUBERNETES_TOKEN_FILE); except in a CI \
            job, whoever has signed in with daypass login.

            The token is kept for the next call, in a CI job in the job's temporary folder, else in ~/.cache/daypass \
            (XDG_CACHE_HOME), and renewed before it has less left than --min-ttl. It never asks anything, and never takes \
            longer than ten seconds.

            Ends with 1 where the broker refuses, 2 for wrong usage, 69 where the broker does not answer or has no time, 77 \
            where there is no identity, or the sign-in has ended.

            Example: daypass token --url https://daypass.example.com --identity file:/run/identity/token
            """)

    @OptionGroup var options: TokenOptions

    @Flag(help: "Print JSON: the token, its scope, its session and when it ends.")
    var json = false

    @Flag(help: "Print a JSON object of HTTP headers, as Claude Code's headersHelper wants it.")
    var header = false

    func validate() throws {
        guard !json || !header else { throw ValidationError("Give either --json or --header.") }
    }

    var printed: PrintedToken {
        PrintedToken(arguments: options.arguments, form: json ? .json : header ? .header : .plain)
    }

    func run() async throws {
        try await printed.run()
    }
}

extension HeldToken {
    /// When it ends, by this machine's clock (RFC 3339).
    var endText: String { Date(timeIntervalSince1970: Double(end / 1000)).formatted(.iso8601) }
}

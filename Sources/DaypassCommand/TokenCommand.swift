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
            token of a Kubernetes pod in /var/run/secrets/daypass/token (DAYPASS_KUBERNETES_TOKEN_FILE).

            The token is kept for the next call, in a CI job in the job's temporary folder, else in ~/.cache/daypass \
            (XDG_CACHE_HOME), and renewed before it has less left than --min-ttl. It never asks anything, and never takes \
            longer than ten seconds.

            Ends with 1 where the broker refuses, 2 for wrong usage, 69 where the broker does not answer or has no time, 77 \
            where there is no identity.

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

    func run() async throws {
        // It holds two secrets by and by; where that cannot be had it is no worse off than its caller.
        _ = daypass_keep_memory_private()
        let held = try await options.token(in: ProcessInfo.processInfo.environment)
        let text = held.token.reveal()
        if json {
            let left = held.left(at: SystemTokenClock().wall).components.seconds
            try Terminal.print(
                .object([
                    "access_token": .string(text), "token_type": .string("Bearer"), "scope": .string(held.scope),
                    "session_id": .string(held.session), "expires_in": .integer(left),
                    "expires": .string(held.endText),
                ]))
        } else if header {
            let headers = JSON.object(["Authorization": .string("Bearer \(text)")])
            Terminal.print(String(decoding: try headers.encoded(), as: UTF8.self))
        } else {
            Terminal.print(text)
        }
    }
}

extension HeldToken {
    /// When it ends, by this machine's clock (RFC 3339).
    var endText: String { Date(timeIntervalSince1970: Double(end / 1000)).formatted(.iso8601) }
}

import ArgumentParser
import BrokerClient
import CProcess
import FoundationEssentials
import Glibc

/// `daypass exec`
struct Exec: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command with a gateway token in its environment.",
        discussion: """
            The command gets ANTHROPIC_BASE_URL and, in ANTHROPIC_AUTH_TOKEN, a token as `daypass token` prints it. \
            ANTHROPIC_API_KEY is taken out of its environment: it would be sent as well. A program that runs for longer \
            than the token needs `daypass token` as its helper instead.

            Ends as the command does; with 127 where there is no such command, and 126 where it cannot be run.

            Example: daypass exec --base-url https://gateway.example.com -- claude -p "ping"
            """)

    @OptionGroup var options: TokenOptions

    @Option(
        help: ArgumentHelp(
            "The gateway; else DAYPASS_GATEWAY_URL, else ANTHROPIC_BASE_URL as it is.", valueName: "url"))
    var baseUrl: String?

    @Argument(parsing: .postTerminator, help: "The command and its arguments, behind --.")
    var command: [String] = []

    func validate() throws {
        guard !command.isEmpty else { throw ValidationError("Give a command behind --: daypass exec -- CMD.") }
    }

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let gateway = try gateway(environment)
        let inherited = Self.descriptors()
        // As for `daypass token`; the limit on core files is the command's own.
        _ = daypass_hide_memory()
        let held = try await options.arguments.token(in: environment, isFresh: true)
        if environment["ANTHROPIC_API_KEY"] != nil {
            Terminal.note("daypass: ANTHROPIC_API_KEY is not passed on: it would be sent beside the token")
        }
        let left = held.left(at: SystemTokenClock().wall).components.seconds
        Terminal.note(
            "daypass: the token ends at \(held.endText), in \(left) s; then the command has to be started anew")
        setenv("ANTHROPIC_BASE_URL", gateway, 1)
        setenv("ANTHROPIC_AUTH_TOKEN", held.token.reveal(), 1)
        unsetenv("ANTHROPIC_API_KEY")
        // What this process has opened meanwhile is no business of the command.
        for descriptor in Self.descriptors().subtracting(inherited) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        replace()
    }

    private static func descriptors() -> Set<CInt> {
        Set(((try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []).compactMap { CInt($0) })
    }

    /// The arguments without those of the command that is run, which are no business of this one.
    static func own(_ arguments: [String]) -> [String] {
        guard arguments.first == "exec" else { return arguments }
        return Array(arguments.prefix { $0 != "--" })
    }

    private func gateway(_ environment: [String: String]) throws -> String {
        let named = [baseUrl, environment["DAYPASS_GATEWAY_URL"], environment["ANTHROPIC_BASE_URL"]]
        guard let url = named.compactMap({ $0 }).first(where: { !$0.isEmpty }) else {
            throw CommandFailure(.usage, "which gateway? Give --base-url, or set DAYPASS_GATEWAY_URL")
        }
        let origin = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).prefix(3)
        guard BrokerAddress.origin(parsing: origin.joined(separator: "/")) != nil,
            url.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw CommandFailure(.usage, "the gateway has to be an https URL (http only for a loopback host)") }
        return url
    }

    /// Puts the command in the place of this process.
    private func replace() -> Never {
        // As this process got them: what it ignores and what its threads block, the command would inherit.
        InheritedSignals.ofThisProcess.restore()
        let words = command.map { strdup($0) } + [nil]
        let code = words[0].map { name in
            execvp(name, words)
            return errno
        }
        Terminal.note("daypass: \(ReadableText.escaped(command[0])): \(String(cString: strerror(code ?? ENOMEM)))")
        Glibc.exit(code == ENOENT ? 127 : 126)
    }
}

import ArgumentParser
import BrokerClient
import Glibc
import NIOCore

/// The command of whoever needs tokens, and of administrators.
struct Daypass: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "daypass",
        abstract: "Gets tokens from a Daypass broker, and administers it.",
        discussion: """
            `daypass login`, `logout`, `whoami`, `token`, `exec`, `setup` and `doctor` know the broker by its public \
            address: --url or DAYPASS_URL.

            The other commands administer it: over the Unix socket of --socket or DAYPASS_SOCKET; else over TLS at --url \
            or DAYPASS_ADMIN_URL with the token in DAYPASS_TOKEN; else over config/run/admin.sock, where that is this \
            user's own or root's, or /run/daypass/admin.sock.

            Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 69 broker unreachable, 77 not signed in or not permitted.

            Example: daypass sessions list --rule ci-main
            """,
        subcommands: [
            Login.self, Logout.self, Whoami.self, TokenCommand.self, Exec.self, Setup.self, Doctor.self, Keys.self,
            Credentials.self, Revoke.self,
            Unblock.self,
            Revocations.self, Sessions.self, Issuers.self, Rules.self, Explain.self, Audit.self,
        ])
}

/// Why a command ends with another code than 0, in words for whoever ran it.
struct CommandFailure: Error {
    enum Code: Int32 {
        case refused = 1
        case usage = 2
        case unreachable = 69
        case notPermitted = 77
    }

    let code: Code
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ failure: ClientFailure) {
        switch failure {
        case .unusableAuthorities(let words): self.init(.usage, "the authorities' file \(words)")
        case .unreachable(let words): self.init(.unreachable, words)
        case .notPermitted(let words): self.init(.notPermitted, words)
        // The broker alone knows the kinds of records, and lists them.
        case .refused(400, let message, _) where message.hasPrefix("kind has to be one of "): self.init(.usage, message)
        case .refused(_, let message, let trace):
            self.init(.refused, message + (trace.map { " (trace \($0))" } ?? ""))
        case .notDurable(let numbers, let message, _):
            let names = numbers.map(String.init).joined(separator: ", ")
            self.init(.refused, "revocation \(names): \(message); --wait waits until it is recorded")
        case .unreadable(let words): self.init(.refused, words)
        }
    }
}

@main
enum Main {
    static func main() async {
        _ = InheritedSignals.ofThisProcess
        // A reader that is gone ends a write with an error, not the program.
        signal(SIGPIPE, SIG_IGN)
        // One connection at a time.
        NIOSingletons.groupLoopCountSuggestion = 1
        let arguments = Array(CommandLine.arguments.dropFirst())
        let ordered = Identifier.behindOptions(arguments)
        do {
            try PastedToken.check(Exec.own(arguments))
            if let token = PrintedToken(parsing: arguments) {
                try await token.run()
            } else {
                var command = try Daypass.parseAsRoot(ordered)
                if var command = command as? any AsyncParsableCommand {
                    try await command.run()
                } else {
                    try command.run()
                }
            }
            try Terminal.check()
        } catch let failure as CommandFailure {
            Terminal.note("daypass: \(ReadableText.lines(PastedToken.hidden(failure.message, arguments)))")
            exit(failure.code.rawValue)
        } catch {
            let code = Daypass.exitCode(for: error)
            let text = PastedToken.hidden(UnshownArguments.words(for: error, ordered), arguments)
            if code == .success {
                Terminal.print(text)
                do throws(CommandFailure) {
                    try Terminal.check()
                } catch {
                    Terminal.note("daypass: \(error.message)")
                    exit(error.code.rawValue)
                }
                exit(0)
            }
            Terminal.note(text)
            exit(code == .validationFailure ? CommandFailure.Code.usage.rawValue : CommandFailure.Code.refused.rawValue)
        }
    }
}

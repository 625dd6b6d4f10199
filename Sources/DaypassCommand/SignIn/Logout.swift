import ArgumentParser
import BrokerClient
import CProcess
import FoundationEssentials

/// `daypass logout`
struct Logout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sign out: end the session at the broker, and forget it here.",
        discussion: """
            Tokens of the session are refused from then on. Whatever the broker answers, nothing is left on this machine; \
            where it has not heard of it, this ends with 69 or 1, and the session lasts until its own end, or until an \
            administrator ends it. 2 is for a folder that cannot be used.

            Example: daypass logout --url https://daypass.example.com
            """)

    @OptionGroup var options: SignInOptions

    func run() async throws {
        _ = daypass_keep_memory_private()
        let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
        let (origin, signIn) = try options.place(in: environment)
        let end: DeveloperSignIn.End
        do throws(TokenFailure) {
            end = try await signIn.end()
        } catch {
            throw CommandFailure(error)
        }
        switch end {
        case .ended(let saved):
            let who = saved.email.map { " \($0)" } ?? ""
            Terminal.print(ReadableText.escaped("signed out\(who) at \(origin)"))
        case .nobody: Terminal.note("nobody was signed in at \(origin)")
        case .goneFromHere(_, let failure):
            let why = CommandFailure(failure)
            throw CommandFailure(
                why.code == .unreachable ? .unreachable : .refused,
                "signed out on this machine alone: the session may last on at the broker, until you end it at "
                    + "\(origin)/sessions, or an administrator does: \(why.message)")
        }
    }
}

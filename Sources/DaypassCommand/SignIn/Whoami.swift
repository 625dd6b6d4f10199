import ArgumentParser
import BrokerClient
import CProcess
import FoundationEssentials

/// `daypass whoami`
struct Whoami: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say who the broker takes this for, and what that may.",
        discussion: """
            It gets a token as daypass token does, of whoever that finds, and asks the broker whose it is.

            Ends with 1 where the broker refuses, 2 for wrong usage, 69 where the broker does not answer or has no time, 77 \
            where nobody is signed in, or not any more, and there is no other identity.

            Example: daypass whoami --url https://daypass.example.com
            """)

    @OptionGroup var options: TokenOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
        _ = daypass_keep_memory_private()
        let environment = ProcessInfo.processInfo.environment
        let set = environment.filter { !$0.value.isEmpty }
        let wish = try options.arguments.wish(in: set)
        let held = try await options.arguments.token(in: environment)
        let broker = TokenExchangeClient(
            wish.origin, scope: nil, rule: nil, authorities: wish.authorities, certificate: nil)
        let known: TokenDescription
        do throws(TokenFailure) {
            known = try await broker.describe(held.token, scope: held.scope, within: TokenSession.longest)
        } catch {
            throw CommandFailure(error)
        }
        var email: String?
        if wish.identity == .login { email = try? SignInStore(wish.origin, in: set)?.saved()?.email }
        let rows = [
            ("subject", "subject", known.subject), ("email", "e-mail", email ?? ""),
            ("identity", "identity", wish.identity.name), ("broker", "broker", wish.origin),
            ("rule", "rule", known.rule), ("scope", "scope", known.scope),
            ("session_id", "session", known.session), ("expires", "token until", held.endText),
        ].filter { !$0.2.isEmpty }
        if json {
            let members = rows.map { ($0.0, JSON.string($0.2)) }
            try Terminal.print(.object(Dictionary(uniqueKeysWithValues: members)))
        } else {
            for (_, name, value) in rows {
                let room = String(repeating: " ", count: max(0, 13 - name.count))
                Terminal.print(ReadableText.escaped("\(name)\(room)\(value)"))
            }
        }
    }
}

import ArgumentParser
import BrokerClient

struct CredentialsPromote: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote", abstract: "Let requests begin with this version, and the active one drain.",
        discussion: """
            What is under way with the active one goes on with it. The same command with its number takes it back.

            Example: daypass credentials promote anthropic 2
            """)

    @Argument(help: "The provider.")
    var provider: String

    @Argument(help: "The version; where it is left out, the one that is staged.")
    var version: Int?

    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        try Provider.check(provider)
        guard version ?? 1 > 0 else { throw ValidationError("A version is a number from 1 on.") }
    }

    func run() async throws {
        try await broker.withClient { client in
            let path = version.map { "credentials/\(provider)/versions/\($0)/promote" }
            let promoted = try await client.post(path ?? "credentials/\(provider)/promote")
            guard !broker.json else { return try Terminal.print(promoted) }
            if promoted["changed"]?.flag == false { Terminal.note("it is active already: nothing was changed") }
            let versions = ["active", "draining"].compactMap { promoted[$0] }
            Terminal.print(Table(versions, CredentialsList.columns))
        }
    }
}

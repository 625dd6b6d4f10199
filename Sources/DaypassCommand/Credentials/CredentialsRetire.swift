import ArgumentParser
import BrokerClient

struct CredentialsRetire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retire", abstract: "Take a version out of use for good, and erase its secret.",
        discussion: """
            The active version cannot be retired: promote another one first. LAST USE says when a draining one was used \
            last.

            Example: daypass credentials retire anthropic 1 --dry-run
            """)

    @Argument(help: "The provider.")
    var provider: String

    @Argument(help: "The version.")
    var version: Int

    @OptionGroup var destructive: DestructiveOptions
    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        try Provider.check(provider)
        guard version > 0 else { throw ValidationError("A version is a number from 1 on.") }
    }

    func run() async throws {
        let path = "credentials/\(provider)/versions/\(version)/retire"
        try await broker.withClient { client in
            if destructive.dryRun || !destructive.yes {
                // The broker decides: what would be refused is refused here.
                let found = try await client.post(path, .object(["dry_run": .bool(true)]))
                let isRetired = found["state"]?.text == "retired"
                if destructive.dryRun {
                    guard !broker.json else { return try Terminal.print(found) }
                    Terminal.note(
                        isRetired
                            ? "it is retired already" : "this version would be retired, and its secret erased:")
                    return Terminal.print(Table([found], CredentialsList.columns))
                }
                let lines = Table([found], CredentialsList.columns).lines(columns: Terminal.columns)
                for line in lines { Terminal.note(line) }
                if isRetired {
                    Terminal.note("it is retired already")
                } else {
                    try destructive.confirm("Retire version \(version) of the credential of \(provider).")
                }
            }
            let retired = try await client.post(path)
            guard !broker.json else { return try Terminal.print(retired) }
            Terminal.print(Table([retired], CredentialsList.columns))
        }
    }
}

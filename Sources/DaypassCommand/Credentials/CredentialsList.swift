import ArgumentParser
import BrokerClient

struct CredentialsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the versions, of one provider or of all.",
        discussion: """
            With --json also when each was made, by whom, and under which master key.

            Example: daypass credentials list anthropic --json
            """)

    @Argument(help: "The provider; all where it is left out.")
    var provider: String?

    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        if let provider { try Provider.check(provider) }
    }

    func run() async throws {
        try await broker.withClient { client in
            let path = provider.map { "credentials/\($0)/versions" } ?? "credentials"
            try broker.print(
                try await client.list(path, "credentials", atMost: list.limit), "credentials", Self.columns)
        }
    }

    static let columns: KeyValuePairs = [
        "PROVIDER": "provider", "VERSION": "version", "STATE": "state", "SINCE": "since", "FIRST USE": "first_used",
        "LAST USE": "last_used",
    ]
}

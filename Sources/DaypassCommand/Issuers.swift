import ArgumentParser
import BrokerClient

/// `daypass issuers`
struct Issuers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The issuers whose tokens the broker takes.",
        discussion: "Example: daypass issuers list",
        subcommands: [IssuersList.self])
}

struct IssuersList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the issuers, and how their keys are.",
        discussion: "Example: daypass issuers list --json")

    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let issuers = try await client.get("issuers").list("issuers")
            try broker.print(
                (issuers, true), "issuers",
                [
                    "NAME": "name", "USABLE": "usable", "KEYS": "keys", "AGE (S)": "age_seconds",
                    "LAST REFRESH": "last_refresh", "LAST ERROR": "last_error", "ISSUER": "issuer",
                ])
        }
    }
}

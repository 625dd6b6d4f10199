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

/// `daypass rules`
struct Rules: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The rules by which the broker grants.",
        discussion: "Example: daypass rules reload",
        subcommands: [RulesReload.self])
}

struct RulesReload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Read rules, issuers and trust domains again: all, or on any error none.",
        discussion: "Example: daypass rules reload --dry-run")

    @OptionGroup var broker: BrokerOptions

    @Flag(help: "Show what would change, and change nothing.")
    var dryRun = false

    func run() async throws {
        try await broker.withClient { client in
            let body: JSON? = dryRun ? .object(["dry_run": .bool(true)]) : nil
            let difference = try await client.post("rules/reload", body)
            guard !broker.json else { return try Terminal.print(difference) }
            for warning in difference.list("warnings") {
                Terminal.note("warning: \(ReadableText.escaped(warning.text ?? ""))")
            }
            let kinds = [("rules", "rule"), ("issuers", "issuer"), ("trust_domains", "trust domain")]
            let rows = kinds.flatMap { member, kind in
                ["added", "changed", "removed"].flatMap { change in
                    (difference[member]?.list(change) ?? []).map { [change, kind, $0.text ?? ""] }
                }
            }
            guard !rows.isEmpty else { return Terminal.note(dryRun ? "nothing would change" : "nothing changed") }
            Terminal.print(Table(["CHANGE", "KIND", "NAME"], rows))
            let offers = difference.list("revocations")
            guard !offers.isEmpty else { return }
            Terminal.note(
                dryRun
                    ? "What was granted before would stay good until it ends. To take it back afterwards:"
                    : "What was granted before stays good until it ends. To take it back:")
            for offer in offers {
                Terminal.note(ReadableText.escaped("  daypass revoke \(offer.cell("kind")) \(offer.cell("value"))"))
            }
        }
    }
}

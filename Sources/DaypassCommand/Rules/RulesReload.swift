import ArgumentParser
import BrokerClient

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
            Terminal.warn(of: difference)
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

import ArgumentParser
import BrokerClient

/// `daypass rules`
struct Rules: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The rules by which the broker grants, and what others would change.",
        discussion: """
            Nothing but `reload` changes what is in force.

            Example: daypass rules test --claims claims.json
            """,
        subcommands: [RulesList.self, RulesWho.self, RulesTest.self, RulesReplay.self, RulesReload.self])
}

struct RulesList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the rules in force, in their order.",
        discussion: "Example: daypass rules list --json")

    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let rules = try await client.list("rules", "rules", atMost: list.limit)
            guard !broker.json, !rules.elements.isEmpty else { return try broker.print(rules, "rules", [:]) }
            let rows = rules.elements.map { rule in
                [
                    rule.cell("name"), rule.cell("issuer"),
                    (rule.list("match").map(\.test) + rule.ids).joined(separator: ", "), rule.cell("scope"),
                    "\(rule.cell("ttl_seconds")) s",
                ]
            }
            Terminal.print(Table(["RULE", "ISSUER", "MATCH", "SCOPE", "TTL"], rows))
            if !rules.isComplete { Terminal.note("there are more: --limit shows them") }
        }
    }
}

struct RulesWho: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "who", abstract: "Show who can get a scope.",
        discussion: """
            Each rule that grants it, and for whom. A scope is compared as it is: a star in it stands for itself. On the \
            broker's own host root, its user and members of server.admin.group need no rule for the administration.

            Example: daypass rules who --scope anthropic:messages
            """)

    @Option(help: "The scope.")
    var scope: String

    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let rules = try await client.list("rules/who", "rules", [("scope", scope)], atMost: list.limit)
            guard !broker.json, !rules.elements.isEmpty else { return try broker.print(rules, "rules", [:]) }
            let rows = rules.elements.map { rule in
                [rule.cell("rule"), rule.cell("through"), rule.cell("whom")]
            }
            // Who is meant is what it is all about: it is not cut.
            for line in Table(["RULE", "THROUGH", "WHO"], rows).lines(columns: nil) { Terminal.print(line) }
            for rule in rules.elements {
                for caution in rule.list("cautions") {
                    Terminal.note("warning: \(ReadableText.escaped("\(rule.cell("rule")): \(caution.text ?? "")"))")
                }
            }
            if !rules.isComplete { Terminal.note("there are more: --limit shows them") }
        }
    }
}

extension JSON {
    /// A line of a rule's `match`: `ref=refs/heads/main|refs/tags/*`
    fileprivate var test: String { "\(cell("claim"))=\(wanted("|"))" }

    /// What a federation call has to name for a rule: `federation organization_id=org-1`
    fileprivate var ids: [String] {
        guard case .object(let members)? = self["federation"] else { return [] }
        return members.sorted { $0.key < $1.key }.map { "federation \($0.key)=\($0.value.shown)" }
    }
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

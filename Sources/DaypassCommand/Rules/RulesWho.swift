import ArgumentParser
import BrokerClient

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
            try broker.print(rules, "rules") { rules in
                let rows = rules.map { rule in
                    [rule.cell("rule"), rule.cell("through"), rule.cell("whom")]
                }
                // Who is meant is what it is all about: it is not cut.
                for line in Table(["RULE", "THROUGH", "WHO"], rows).lines(columns: nil) { Terminal.print(line) }
                for rule in rules {
                    for caution in rule.list("cautions").compactMap(\.text) {
                        Terminal.warn("\(rule.cell("rule")): \(caution)")
                    }
                }
            }
        }
    }
}

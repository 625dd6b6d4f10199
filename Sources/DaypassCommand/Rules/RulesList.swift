import ArgumentParser
import BrokerClient

struct RulesList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the rules in force, in their order.",
        discussion: "Example: daypass rules list --json")

    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let rules = try await client.list("rules", "rules", atMost: list.limit)
            try broker.print(rules, "rules") { rules in
                Terminal.print(Table(["RULE", "ISSUER", "MATCH", "SCOPE", "TTL"], rules.map(Self.row)))
            }
        }
    }

    private static func row(_ rule: JSON) -> [String] {
        [
            rule.cell("rule"), rule.cell("issuer"),
            (rule.list("match").map(\.test) + rule.ids).joined(separator: ", "), rule.cell("scope"),
            "\(rule.cell("ttl_seconds")) s",
        ]
    }
}

extension JSON {
    /// A line of a rule's `match`: `ref=refs/heads/main|refs/tags/*`
    fileprivate var test: String { "\(cell("claim"))=\(values("wanted", "|"))" }

    /// What a federation call has to name for a rule: `federation organization_id=org-1`
    fileprivate var ids: [String] {
        guard case .object(let members)? = self["federation"] else { return [] }
        return members.sorted { $0.key < $1.key }.map { "federation \($0.key)=\($0.value.shown)" }
    }
}

import ArgumentParser

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

import BrokerClient

/// Rules that were tried, claim by claim, and what would have to be otherwise: of a decision, or of a test.
enum TriedRules {
    /// - Parameter answer: with `rules` and `changes`, as the broker has them.
    static func print(_ answer: JSON) {
        let rules = answer.list("rules")
        guard !rules.isEmpty else { return }
        Terminal.print("")
        Terminal.print(Table(["RULE", "CLAIM", "WANTED", "GOT", "HELD"], rules.flatMap(rows)))
        if let omitted = answer["omitted_rules"]?.count, omitted > 0 {
            Terminal.print("and \(omitted) more rules, further away")
        }
        changes(answer.list("changes"))
    }

    private static func rows(_ rule: JSON) -> [[String]] {
        let name = rule.cell("rule") + (rule["nearest"]?.flag == true ? " (nearest)" : "")
        return rule.list("tests").map { test in
            [
                name, test["claim"]?.text ?? test.cell("parameter"), test.values("wanted", " or "),
                test["got"].map(\.shown) ?? "(missing)", test["held"]?.flag == true ? "yes" : "NO",
            ]
        }
    }

    private static func changes(_ changes: [JSON]) {
        guard !changes.isEmpty else { return }
        Terminal.print("")
        Terminal.print("The nearest rule would match with:")
        for change in changes {
            let name = change["claim"]?.text ?? "the parameter \(change.cell("parameter"))"
            var line = "  \(name) being \(change.values("to", " or "))"
            if let hint = change["hint"]?.text { line += " (\(hint))" }
            Terminal.print(ReadableText.escaped(line))
            if let rule = change["or_rule"]?.text {
                let words = "or, where it is to be let in, with this line in the place of the rule's own:"
                Terminal.print("    \(words) \(ReadableText.yaml(rule))")
            }
            if let value = change["or_rule_adds"]?.text {
                let words = "or, where it is to be let in, with this value added to the rule's own:"
                Terminal.print("    \(words) \(ReadableText.yaml(value))")
            }
        }
    }
}

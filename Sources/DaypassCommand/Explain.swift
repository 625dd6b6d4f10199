import ArgumentParser
import BrokerClient
import FoundationEssentials

/// `daypass explain`
struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what was decided about a request, and what would have to be otherwise.",
        discussion: """
            The trace id is in every answer of the broker: in the header Daypass-Trace-Id, and in error_description. \
            Grants, and refusals of whoever proved who he is, come out of the audit record; the last refusals of /verify, and \
            of proofs that proved nothing, out of the memory of the broker. Ends with 1 where nothing is known.

            Example: daypass explain 0199e1c4a5b60c1f9a4be2d7f3055a1c
            """)

    @Argument(help: "The trace id.")
    var trace: TraceArgument

    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let found = try await client.get("explain/\(trace.text)")
            guard !broker.json else { return try Terminal.print(found) }
            for (index, decision) in found.list("decisions").enumerated() {
                if index > 0 { Terminal.print("") }
                try Self.print(decision)
            }
            if found["complete"]?.flag == false {
                Terminal.note("there are more: daypass audit search --trace shows them")
            }
        }
    }

    private static let members = [
        "time", "at", "kind", "subject", "issuer", "rule", "session", "token", "client", "reason",
    ]

    private static func print(_ decision: JSON) throws {
        Terminal.print(ReadableText.escaped(decision["summary"]?.text ?? ""))
        let source =
            decision["source"]?.text == "memory"
            ? "the broker's memory: it is in no record" : "audit record \(decision.cell("sequence"))"
        var rows = [["source", source]]
        rows += members.filter { decision[$0] != nil }.map { [$0, decision.cell($0)] }
        rows += pairs(decision["granted"]).map { ["granted \($0)", $1] }
        rows += pairs(decision["said_unproved"]).map { ["says \($0), unproved", $1] }
        for name in ["asked", "blocked", "certificate", "actor", "details"] {
            rows += pairs(decision[name]).map { ["\(name) \($0)", $1] }
        }
        Terminal.print(Table([], rows))
        let facts = decision.list("facts")
        if !facts.isEmpty {
            Terminal.print("")
            Terminal.print(
                Table(
                    ["CHECKED", "WANTED", "GOT"],
                    facts.map { [$0.cell("name"), $0.cell("wanted"), $0["got"]?.shown ?? ""] }))
        }
        let rules = decision.list("rules")
        guard !rules.isEmpty else { return claims(decision) }
        Terminal.print("")
        Terminal.print(Table(["RULE", "CLAIM", "WANTED", "GOT", "HELD"], rules.flatMap(Self.rows)))
        if let omitted = decision["omitted_rules"]?.count { Terminal.print("and \(omitted) more rules, further away") }
        changes(decision)
    }

    /// Where no rules say what the token had.
    private static func claims(_ decision: JSON) {
        let (claims, source) = (pairs(decision["claims"]), decision["claims_from"]?.text)
        if source == "nowhere" {
            Terminal.print("")
            Terminal.print("the claims stay with the session, which is not kept any more, or cannot be read")
        }
        guard !claims.isEmpty else { return }
        Terminal.print("")
        if source == "session" {
            let first = ReadableText.escaped(decision["first_session"]?.text ?? "")
            Terminal.print("Out of its session; on the record they are with the grant that opened it:")
            Terminal.print("  daypass audit search --kind exchange.granted --session \(first)")
        }
        Terminal.print(Table(["CLAIM", "VALUE"], claims.map { [$0, $1] }))
    }

    private static func rows(_ rule: JSON) -> [[String]] {
        let name = rule.cell("rule") + (rule["nearest"]?.flag == true ? " (nearest)" : "")
        return rule.list("tests").map { test in
            let wanted = test.list("wanted").map(\.shown).joined(separator: " or ")
            return [
                name, test["claim"]?.text ?? test.cell("parameter"), wanted,
                test["got"].map(\.shown) ?? "(missing)", test["held"]?.flag == true ? "yes" : "NO",
            ]
        }
    }

    private static func changes(_ decision: JSON) {
        let changes = decision.list("changes")
        guard !changes.isEmpty else { return }
        Terminal.print("")
        Terminal.print("The nearest rule would match with:")
        for change in changes {
            let name = change["claim"]?.text ?? "the parameter \(change.cell("parameter"))"
            let wanted = change.list("to").map(\.shown).joined(separator: " or ")
            var line = "  \(name) being \(wanted)"
            if let hint = change["hint"]?.text { line += " (\(hint))" }
            Terminal.print(ReadableText.escaped(line))
            if let rule = change["or_rule"]?.text {
                let words = "or, where it is to be let in, with this line in the place of the rule's own:"
                Terminal.print("    \(words) \(ReadableText.yaml(rule))")
            }
        }
    }

    private static func pairs(_ object: JSON?) -> [(String, String)] {
        guard case .object(let members) = object else { return [] }
        return members.sorted { $0.key < $1.key }.map { ($0.key, $0.value.shown) }
    }
}

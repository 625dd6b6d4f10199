import ArgumentParser
import BrokerClient

/// `daypass explain`
struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what was decided about a request, and what would have to be otherwise.",
        discussion: """
            The trace id is in every answer of the broker: in the header Daypass-Trace-Id, and in error_description. \
            Grants, and refusals of whoever proved who he is, come out of the audit record; the last refusals of /verify, of \
            logout tokens, and of proofs that proved nothing, out of the memory of the broker. Ends with 1 where nothing is known.

            Example: daypass explain 0199e1c4a5b60c1f9a4be2d7f3055a1c
            """)

    @Argument(help: "The trace id.", transform: TraceArgument.init(parsing:))
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
                    facts.map { fact in
                        let name = fact.cell("name")
                        return [name, fact.cell("wanted"), fact["got"]?.shown(as: name) ?? ""]
                    }))
        }
        if decision.list("rules").isEmpty { claims(decision) } else { TriedRules.print(decision) }
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

    private static func pairs(_ object: JSON?) -> [(String, String)] {
        guard case .object(let members) = object else { return [] }
        return members.sorted { $0.key < $1.key }.map { ($0.key, $0.value.shown(as: $0.key)) }
    }
}

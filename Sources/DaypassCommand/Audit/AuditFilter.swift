import ArgumentParser

/// Which records are asked for; those that meet all of it.
struct AuditFilter: ParsableArguments {
    @Option(
        help: ArgumentHelp("From then on: 30m, 24h or 7d ago, 2027-01-31 or 2027-01-31T12:00:00Z.", valueName: "time"),
        transform: PastMoment.init(parsing:))
    var since: PastMoment?

    @Option(
        help: ArgumentHelp("Before then, in the same forms.", valueName: "time"), transform: PastMoment.init(parsing:))
    var until: PastMoment?

    @Option(help: "Of this kind, such as exchange.refused.")
    var kind: String?

    @Option(help: "About this subject, which is compared as a whole.")
    var subject: String?

    @Option(help: "By this rule.")
    var rule: String?

    @Option(help: "Of the request with this trace id.", transform: TraceArgument.init(parsing:))
    var trace: TraceArgument?

    @Option(parsing: .unconditional, help: "Of this session.", transform: Identifier.init(parsing:))
    var session: Identifier?

    @Option(
        parsing: .unconditional, help: ArgumentHelp("About the gateway token with this jti.", valueName: "jti"),
        transform: Identifier.init(parsing:))
    var token: Identifier?

    func validate() throws {
        try PastMoment.checkOrder(since, until)
    }

    func query() throws -> [(String, String)] {
        let wanted = [
            ("since", since?.text), ("until", until?.text), ("kind", kind), ("subject", subject), ("rule", rule),
            ("trace", trace?.text), ("session", session?.text), ("token", token?.text),
        ]
        // An empty one would be none at all, and the list one of everything.
        guard wanted.allSatisfy({ $0.1 != "" }) else { throw CommandFailure(.usage, "a filter is empty") }
        return wanted.compactMap { name, value in value.map { (name, $0) } }
    }
}

import ArgumentParser
import BrokerClient
import FoundationEssentials
import Glibc

/// `daypass audit`
struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The audit record: what the broker decided, for whom and why.",
        discussion: "Example: daypass audit search --subject github:repo:acme/app --since 24h",
        subcommands: [AuditSearch.self, AuditTail.self, AuditExport.self])
}

/// Which records are asked for; those that meet all of it.
struct AuditFilter: ParsableArguments {
    @Option(help: ArgumentHelp("From then on: a moment, or how long ago, such as 24h or 7d.", valueName: "time"))
    var since: PastMoment?

    @Option(help: ArgumentHelp("Before then.", valueName: "time"))
    var until: PastMoment?

    @Option(help: "Of this kind, such as exchange.refused.")
    var kind: String?

    @Option(help: "About this subject.")
    var subject: String?

    @Option(help: "By this rule.")
    var rule: String?

    @Option(help: "Of the request with this trace id.")
    var trace: Identifier?

    @Option(help: "Of this session.")
    var session: Identifier?

    @Option(help: ArgumentHelp("About the gateway token with this jti.", valueName: "jti"))
    var token: Identifier?

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

/// A moment, or how long ago.
struct PastMoment: ExpressibleByArgument {
    /// RFC 3339
    let text: String

    init?(argument: String) {
        if let unit = argument.last, let seconds = ["s": 1, "m": 60, "h": 3600, "d": 86_400][unit],
            let count = Int(argument.dropLast()), (0...1_000_000).contains(count)
        {
            text = Date(timeIntervalSinceNow: -Double(count * seconds)).formatted(.iso8601)
        } else if (try? Date(argument, strategy: .iso8601)) != nil
            || (try? Date(argument, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))) != nil
        {
            text = argument
        } else {
            return nil
        }
    }
}

struct AuditSearch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search", abstract: "List audit records, the last one first.",
        discussion: """
            Names and times are found quickly among millions of records, by an index. An auditor's copy is that of \
            `audit export`, which looks at every record.

            Example: daypass audit search --kind exchange.refused --since 24h --limit 20
            """)

    @OptionGroup var filter: AuditFilter

    @Option(help: "How many at most.")
    var limit = 100

    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit has to be at least 1.") }
    }

    func run() async throws {
        let query = try filter.query()
        try await broker.withClient { client in
            try broker.print(
                try await client.list("audit", "records", query, atMost: limit), "records", AuditLines.columns)
        }
    }
}

struct AuditTail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail", abstract: "Show the last audit records, and with --follow those that come.",
        discussion: "Example: daypass audit tail --follow --rule ci-main")

    @OptionGroup var filter: AuditFilter

    @Option(name: [.customShort("n"), .customLong("lines")], help: "How many of the last ones.")
    var count = 10

    @Flag(name: .shortAndLong, help: "Go on with those that come, until interrupted.")
    var follow = false

    @OptionGroup var broker: BrokerOptions

    private static let pause: Duration = .seconds(1)

    func validate() throws {
        guard (0...1000).contains(count) else { throw ValidationError("--lines has to be 0 to 1000.") }
    }

    func run() async throws {
        let query = try filter.query()
        try await broker.withClient { client in
            // Where those begin that come, before the last ones are asked for: so none is left out.
            var position = try await client.list("audit", "records", atMost: 1).elements.first?["sequence"]?.count ?? 0
            if count > 0 {
                let last = try await client.list("audit", "records", query, atMost: count).elements.reversed()
                let known = last.filter { ($0["sequence"]?.count ?? 0) <= position }
                for record in known { try AuditLines.print(record, asJSON: broker.json) }
            }
            while follow {
                let part = try await client.lines("audit/export", query + [("after", String(position))])
                for line in part.bytes.split(separator: UInt8(ascii: "\n")) {
                    try AuditLines.print(JSON(parsing: Data(line)), asJSON: broker.json)
                }
                position = part.next
                if part.isComplete { try await Task.sleep(for: Self.pause) }
            }
        }
    }
}

struct AuditExport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write audit records as JSON Lines, in the order of recording.",
        discussion: """
            Every record is looked at. Ends with 1, and says so, where not all could be written. Followed by \
            `--after` and the `sequence` of the last line, it goes on where an earlier export ended.

            Example: daypass audit export --since 2027-01-01T00:00:00Z --until 2027-02-01T00:00:00Z > january.jsonl
            """)

    @OptionGroup var filter: AuditFilter

    @Option(help: ArgumentHelp("Only what was recorded behind the record of this number.", valueName: "sequence"))
    var after = 0

    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        guard after >= 0 else { throw ValidationError("--after has to be a number.") }
    }

    func run() async throws {
        let query = try filter.query()
        try await broker.withClient { client in
            var (position, isComplete) = (after, false)
            while !isComplete {
                let part = try await client.lines(
                    "audit/export", query + [("after", String(position)), ("limit", "1000")])
                try Terminal.write(lines: part.bytes)
                (position, isComplete) = (part.next, part.isComplete)
            }
        }
    }
}

/// How a record is shown.
enum AuditLines {
    static let columns: KeyValuePairs = [
        "TIME": "time", "KIND": "kind", "SUBJECT": "subject", "RULE": "rule", "REASON": "reason", "TRACE": "trace",
    ]

    /// A line of its own, which needs no other line to be read: `-` stands for what a record does not have.
    static func print(_ record: JSON, asJSON: Bool) throws {
        guard !asJSON else {
            return Terminal.print(ReadableText.json(String(decoding: try record.encoded(), as: UTF8.self)))
        }
        let cells = columns.map { record.cell($0.value) }
        Terminal.print(cells.map { $0.isEmpty ? "-" : ReadableText.escaped($0) }.joined(separator: "  "))
    }
}

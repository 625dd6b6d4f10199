import ArgumentParser
import BrokerClient

/// `daypass audit search`
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
            let records = try await client.list("audit", "records", query, atMost: limit)
            try broker.print(records, "records") { records in
                Terminal.print(Table(AuditRecordLine.columns.map(\.key), records.map(AuditRecordLine.cells)))
            }
        }
    }
}

import ArgumentParser
import BrokerClient

/// `daypass audit export`
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

import ArgumentParser
import BrokerClient
import FoundationEssentials

/// `daypass audit tail`
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
                for record in known { try AuditRecordLine.print(record, asJSON: broker.json) }
            }
            while follow {
                let part = try await client.lines("audit/export", query + [("after", String(position))])
                for line in part.bytes.split(separator: UInt8(ascii: "\n")) {
                    try AuditRecordLine.print(JSON(parsing: Data(line)), asJSON: broker.json)
                }
                try Terminal.check()
                position = part.next
                if part.isComplete { try await Task.sleep(for: Self.pause) }
            }
        }
    }
}

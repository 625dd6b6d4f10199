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

    @Flag(
        name: .shortAndLong, help: "Go on with those that come, until interrupted, also over a restart of the broker.")
    var follow = false

    @OptionGroup var broker: BrokerOptions

    private static let pause: Duration = .seconds(1)

    func validate() throws {
        guard (0...1000).contains(count) else { throw ValidationError("--lines has to be 0 to 1000.") }
        guard !follow || filter.until == nil else {
            throw ValidationError("--until and --follow do not stand together: what comes is not before a moment.")
        }
    }

    private static func part(
        _ query: [(String, String)], _ client: AdministrationClient
    ) async -> Result<AdministrationClient.Lines, ClientFailure> {
        do throws(ClientFailure) {
            let part = try await client.lines("audit/export", query)
            return .success(part)
        } catch {
            return .failure(error)
        }
    }

    /// A broker that is started again, or whose store cannot be read at the moment.
    private static func isPassing(_ failure: ClientFailure) -> Bool {
        switch failure {
        case .unreachable, .refused(status: 503, message: _, trace: _): true
        default: false
        }
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
            var isAway = false
            while follow {
                let answer = await Self.part(query + [("after", String(position))], client)
                if case .failure(let failure) = answer, Self.isPassing(failure) {
                    // Nothing is lost: it goes on behind the last one.
                    if !isAway { Terminal.note("daypass: the broker does not answer; trying again until it does") }
                    isAway = true
                    try Terminal.check()
                    try await Task.sleep(for: Self.pause)
                    continue
                }
                if isAway { Terminal.note("daypass: the broker answers again") }
                isAway = false
                let part = try answer.get()
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

import ArgumentParser
import BrokerClient

/// `daypass audit verify`
struct AuditVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Find out whether anybody has altered, removed, added or moved an audit record.",
        discussion: """
            The broker reads every record and checks that each holds the hash of the one before and that they lead to the \
            signed checkpoints. The first record that is wrong is named, and the command ends with 1. Records behind the last \
            checkpoint, at most a thousand or those of a minute, are only as safe as the running broker's memory. Those that \
            a checkpoint was made behind more than five minutes later, since no broker ran or none could be made, are counted \
            as "signed late".

            With --against the records are compared with a file that somebody keeps elsewhere, a copy of audit.file or an \
            export: so it shows, too, where the whole store was set back, or goes on otherwise than the file does. Lines are \
            compared to the byte. Where the file has checkpoints it has to have every record between its first and its last.

            Example: daypass audit verify --against /var/log/daypass/audit.jsonl
            """)

    @Option(
        help: ArgumentHelp(
            "Compare with this file: of audit.file, an export, or checkpoints alone.", valueName: "file"),
        completion: .file())
    var against: String?

    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        // Before the broker is asked for anything.
        let lines = try against.map { try AuditLines(path: $0) }
        try await broker.withClient { client in
            let chain = try await Self.verify(client)
            guard chain["finding"] == nil else { return try fail(chain, chain.text("finding", "message")) }
            guard let lines else {
                return try succeed(chain, nil)
            }
            var comparison = AuditComparison(client)
            try await comparison.compare(lines)
            try succeed(chain, comparison)
            if let finding = comparison.finding { throw CommandFailure(.refused, finding) }
        }
    }

    private static let pause: Duration = .milliseconds(250)
    /// So often the broker may say that it does not verify a stretch now, and so often it is begun anew.
    private static let (patience, restarts) = (10, 3)

    /// Stretch by stretch to the end; what was found in all of them together.
    ///
    /// While somebody else verifies, a stretch waits for its turn. Begun anew where the beginning was archived meanwhile.
    private static func verify(_ client: AdministrationClient) async throws -> JSON {
        var found = Found()
        var after: Int?
        var (refusals, begun) = (0, 0)
        while true {
            let answer = await Self.asked(after: after, client)
            if case .failure(.refused(status: 409, message: _, trace: _)) = answer, begun < restarts {
                refusals += 1
                if refusals == patience {
                    (found, after) = (Found(), nil)
                    (refusals, begun) = (0, begun + 1)
                }
                try await Task.sleep(for: pause)
                continue
            }
            let stretch = try answer.get()
            refusals = 0
            found.add(stretch)
            guard let next = stretch["next"]?.count else { return found.whole(endingWith: stretch) }
            guard next > after ?? 0 else { throw ClientFailure.unreadable("the broker's stretches do not end") }
            after = next
            if Terminal.columns != nil, found.records > 0 {
                Terminal.note("\(found.records) records are intact so far")
            }
        }
    }

    /// What stretches have together.
    private struct Found {
        private(set) var records = 0
        private var (checkpoints, late) = (0, 0)
        private var first: JSON?
        private var firstLate: JSON?

        mutating func add(_ stretch: JSON) {
            records += stretch["records"]?.count ?? 0
            checkpoints += stretch["checkpoints"]?.count ?? 0
            first = first ?? stretch["first"]
            late += stretch["late"]?["records"]?.count ?? 0
            firstLate = firstLate ?? stretch["late"]?["checkpoint"]
        }

        func whole(endingWith last: JSON) -> JSON {
            var whole = last.with("records", .integer(Int64(records)))
                .with("checkpoints", .integer(Int64(checkpoints)))
            if let first { whole = whole.with("first", first) }
            if let firstLate {
                whole = whole.with("late", .object(["records": .integer(Int64(late)), "checkpoint": firstLate]))
            }
            return whole
        }
    }

    /// The next stretch.
    private static func asked(
        after checkpoint: Int?, _ client: AdministrationClient
    ) async -> Result<JSON, ClientFailure> {
        let query = checkpoint.map { [("after", String($0))] } ?? []
        do throws(ClientFailure) {
            let stretch = try await client.get("audit/verify", query)
            return .success(stretch)
        } catch {
            return .failure(error)
        }
    }

    /// What is there where the store is intact, whatever the file is.
    private func succeed(_ chain: JSON, _ comparison: AuditComparison?) throws {
        guard !broker.json else {
            let compared = comparison.map { chain.with("against", $0.json) } ?? chain
            return try Terminal.print(compared)
        }
        let unsealed = chain["unsealed"]?.count ?? 0
        Terminal.print(
            "intact: \(Self.counted(chain["records"]?.count ?? 0, "record")), "
                + "\(Self.counted(chain["checkpoints"]?.count ?? 0, "checkpoint")), \(unsealed) behind the last one")
        if let late = chain["late"], let records = late["records"]?.count, let number = late["checkpoint"]?.count {
            Terminal.print(
                "signed late: \(Self.counted(records, "record")), the first by checkpoint \(number); what was done to them "
                    + "before that, only a copy of audit.file shows")
        }
        if let comparison, comparison.finding == nil { Terminal.print(comparison.summary) }
    }

    private func fail(_ chain: JSON, _ message: String) throws {
        if broker.json { try Terminal.print(chain.with("intact", .bool(false))) }
        throw CommandFailure(.refused, message)
    }

    static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}

extension JSON {
    fileprivate func text(_ outer: String, _ inner: String) -> String { self[outer]?[inner]?.text ?? "not intact" }

    fileprivate func with(_ name: String, _ value: JSON) -> JSON {
        guard case .object(var members) = self else { return self }
        members[name] = value
        return .object(members)
    }
}

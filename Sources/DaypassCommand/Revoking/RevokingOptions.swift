import ArgumentParser
import BrokerClient

/// How something is revoked, whatever it is.
struct RevokingOptions: ParsableArguments {
    @Option(help: "Why, for the audit record; at most 512 bytes.")
    var reason: String?

    @Flag(
        help: """
            Wait until it is recorded and all who follow the feed of revocations were told, at most 10 minutes; at the \
            broker it is in force at once.
            """)
    var wait = false

    @OptionGroup var destructive: DestructiveOptions

    func validate() throws {
        guard reason.map(PastedToken.isToken) != true else {
            throw ValidationError("The reason is kept for good, and has a token in it.")
        }
    }

    /// Shows what `order` would affect, asks, and sends it.
    /// - Parameter words: what it is about.
    func revoke(_ order: [String: JSON], _ words: String, _ broker: BrokerOptions) async throws {
        var order = order
        if let reason { order["reason"] = .string(reason) }
        try await broker.withClient { client in
            if destructive.dryRun || !destructive.yes {
                let preview = try await client.post(
                    "revocations", .object(order.merging(["dry_run": .bool(true)]) { $1 }))
                guard !destructive.dryRun else { return try show(preview, order, words, broker) }
                Self.note(preview)
                if order["where"] != nil {
                    for line in Table(preview.list("sessions"), SessionsList.columns).lines(columns: Terminal.columns) {
                        Terminal.note(line)
                    }
                }
                try destructive.confirm(
                    "Revoke \(ReadableText.escaped(words)): \(Self.effect(order, preview["session_count"]?.count ?? 0))."
                )
            }
            let result = try await send(order, client)
            if destructive.yes { Terminal.warn(of: result) }
            let revocations = result.list("revocations")
            if broker.json { try Terminal.print(result) }
            guard !revocations.isEmpty else { throw CommandFailure(.refused, "there are no \(words)") }
            guard !broker.json else { return }
            Terminal.print(Table(revocations, Revocations.columns))
            Self.tell(ofReach: result)
        }
    }

    /// What of an answer is no part of a table: the block that is in force, and warnings.
    private static func note(_ answer: JSON) {
        if let block = answer["block_in_force"] {
            Terminal.note("blocked now: \(block["until"]?.text.map { "until \($0)" } ?? "without end")")
        }
        Terminal.warn(of: answer)
    }

    /// Where else it is in force, and where it is not.
    static func tell(ofReach answer: JSON) {
        let readers = answer["readers"]
        if let open = readers?["open"]?.count, open > 0, let behind = readers?["behind"]?.count {
            Terminal.note(
                behind == 0
                    ? "told to all who follow the feed of revocations: \(open)"
                    : "of \(open) who follow the feed of revocations \(behind) are not told yet")
        }
        if let end = answer["offline_until"]?.text {
            Terminal.note("a gateway that reads only the key set may accept what it ended until \(end)")
        }
    }

    private func show(_ preview: JSON, _ order: [String: JSON], _ words: String, _ broker: BrokerOptions) throws {
        guard !broker.json else { return try Terminal.print(preview) }
        let (sessions, count) = (preview.list("sessions"), preview["session_count"]?.count ?? 0)
        Terminal.note("revoking \(ReadableText.escaped(words)) would end \(Self.effect(order, count))")
        if !sessions.isEmpty { Terminal.print(Table(sessions, SessionsList.columns)) }
        if count > sessions.count, !sessions.isEmpty { Terminal.note("and \(count - sessions.count) more") }
        Self.note(preview)
    }

    /// The broker counts up to one more than this.
    private static let counted = 10_000

    private static func effect(_ order: [String: JSON], _ count: Int) -> String {
        switch order["kind"]?.text {
        case "token": "this token, and no session"
        case "key": "every token that it signed, and no session"
        default:
            switch count {
            case 1: "1 live session"
            case ...counted: "\(count) live sessions"
            default: "more than \(counted) live sessions"
            }
        }
    }

    private func send(_ order: [String: JSON], _ client: AdministrationClient) async throws -> JSON {
        let failure: ClientFailure
        do throws(ClientFailure) {
            let answer = try await client.post("revocations", .object(order))
            guard wait, (answer["readers"]?["behind"]?.count ?? 0) > 0,
                let number = answer.list("revocations").last?["sequence"]?.count
            else { return answer }
            Terminal.note("in force and recorded; waiting until all who follow the feed of revocations were told")
            return try await told(answer, number, client)
        } catch {
            failure = error
        }
        guard case .notDurable(let numbers, _, let answer) = failure else { throw failure }
        guard wait else {
            Terminal.warn(of: answer)
            Self.tell(ofReach: answer)
            throw failure
        }
        Terminal.note("in force; waiting until it is recorded")
        guard let revocations = try await recorded(numbers, client) else { throw failure }
        guard case .object(let members) = answer, let number = numbers.last else { return .object(revocations) }
        let findings = ["warnings", "block_in_force", "issuers_without_claim", "readers", "offline_until"]
        let result = members.filter { findings.contains($0.key) }.merging(revocations) { $1 }
        return try await told(.object(result), number, client)
    }

    private static let pause: Duration = .milliseconds(250)
    private static let pauses = 2400

    /// The answer, when all who follow the feed were told of a number, or after so many pauses.
    private func told(_ answer: JSON, _ number: Int, _ client: AdministrationClient) async throws(ClientFailure) -> JSON
    {
        guard case .object(var members) = answer else { return answer }
        for _ in 0..<Self.pauses {
            let revocation = try await client.get("revocations/\(number)")
            for name in ["readers", "offline_until"] { members[name] = revocation[name] }
            guard (revocation["readers"]?["behind"]?.count ?? 0) > 0 else { break }
            try? await Task.sleep(for: Self.pause)
        }
        return .object(members)
    }

    /// The revocations when all of them are recorded; nil where that takes too long.
    private func recorded(_ numbers: [Int], _ client: AdministrationClient) async throws -> [String: JSON]? {
        var (open, done) = (numbers[...], [JSON]())
        for _ in 0..<Self.pauses {
            while let number = open.first {
                let revocation = try await client.get("revocations/\(number)")
                guard revocation["durable"]?.flag == true else { break }
                done.append(revocation.without(["readers", "offline_until"]))
                open.removeFirst()
            }
            guard !open.isEmpty else {
                return ["applied": .bool(true), "durable": .bool(true), "revocations": .array(done)]
            }
            try await Task.sleep(for: Self.pause)
        }
        return nil
    }
}

extension JSON {
    fileprivate func without(_ names: [String]) -> JSON {
        guard case .object(let members) = self else { return self }
        return .object(members.filter { !names.contains($0.key) })
    }
}

/// `daypass revocations`
struct Revocations: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the revocations that are in force, the latest first.",
        discussion: "Example: daypass revocations --limit 20")

    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let revocations = try await client.list("revocations", "revocations", atMost: list.limit)
            try broker.print(revocations, "revocations", Self.columns)
        }
    }

    static let columns: KeyValuePairs = [
        "NUMBER": "sequence", "KIND": "kind", "VALUE": "value", "BLOCK": "block", "UNTIL": "until",
        "CREATED": "created",
        "RECORDED": "durable", "REASON": "reason", "BY": "caller",
    ]
}

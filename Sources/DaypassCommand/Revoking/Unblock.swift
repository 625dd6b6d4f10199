import ArgumentParser
import BrokerClient

/// `daypass unblock`
struct Unblock: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let in again whom --block keeps out.",
        discussion: """
            Ends every block of that subject, rule or issuer itself, or of all. What was revoked stays dead, and what \
            another block keeps out stays out. Over the network it needs the scope daypass:admin.

            Example: daypass unblock subject corp:00u1f9a --reason "back from leave"
            """)

    @Argument(help: "subject, rule, issuer or all.")
    var kind: Revoke.Kind

    @Argument(help: "Which one; - reads it from standard input.")
    var value: String?

    @Option(help: "Why, for the audit record; at most 512 bytes.")
    var reason: String?

    @OptionGroup var destructive: DestructiveOptions
    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        guard kind.canBlock else { throw ValidationError("A \(kind.rawValue) is never blocked.") }
        guard (kind == .all) == (value == nil), value != "" else {
            throw ValidationError(kind == .all ? "all has no value." : "Which \(kind.rawValue)?")
        }
    }

    func run() async throws {
        var (order, words) = (["kind": JSON.string(kind.rawValue)], "everything")
        if let value {
            let value = try kind.meant(value)
            order["value"] = .string(value)
            words = "\(kind.rawValue) \(value)"
        }
        if let reason { order["reason"] = .string(reason) }
        try await broker.withClient { client in
            if destructive.dryRun || !destructive.yes {
                let preview = try await client.post("unblock", .object(order.merging(["dry_run": .bool(true)]) { $1 }))
                guard !destructive.dryRun else {
                    if broker.json { return try Terminal.print(preview) }
                    Terminal.note("\(ReadableText.escaped(words)) is blocked \(Self.end(preview)), and would be let in")
                    return Terminal.warn(of: preview)
                }
                Terminal.warn(of: preview)
                try destructive.confirm("Let \(ReadableText.escaped(words)) in, blocked \(Self.end(preview)).")
            }
            let lift = try await client.post("unblock", .object(order))
            if broker.json { return try Terminal.print(lift) }
            if destructive.yes { Terminal.warn(of: lift) }
            let numbers = lift.list("revocations").compactMap { $0.count.map(String.init) }
            Terminal.print(
                Table(
                    ["KIND", "VALUE", "WAS BLOCKED", "REVOCATIONS"],
                    [[lift.cell("kind"), lift.cell("value"), Self.end(lift), numbers.joined(separator: " ")]]))
        }
    }

    private static func end(_ lift: JSON) -> String {
        lift["block"]?["until"]?.text.map { "until \($0)" } ?? "without end"
    }
}

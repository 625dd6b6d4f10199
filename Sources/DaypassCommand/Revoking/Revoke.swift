import ArgumentParser
import BrokerClient
import FoundationEssentials

/// `daypass revoke`
struct Revoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End tokens that are good until now.",
        discussion: """
            VALUE is a token's jti (or the token itself, best with - from standard input), a session's id, a subject as \
            `daypass sessions list` shows it, or the name of a rule, an issuer or a key. --where names sessions by a claim \
            of their subject token.

            Example: daypass revoke subject github:repo:acme/app:ref:refs/heads/main --block --until 24h
            """)

    enum Kind: String, ExpressibleByArgument, CaseIterable {
        case token, session, subject, rule, issuer, key, all

        var canBlock: Bool { [.subject, .rule, .issuer, .all].contains(self) }
    }

    @Argument(help: "token, session, subject, rule, issuer, key or all.")
    var kind: Kind

    @Argument(help: "Which one; - reads it from standard input.")
    var value: String?

    @Option(name: .customLong("where"), help: ArgumentHelp("The sessions with this claim.", valueName: "claim=value"))
    var condition: ClaimCondition?

    @Flag(help: "Grant nothing new either, to a subject, under a rule, of an issuer or at all, until it is lifted.")
    var block = false

    @Option(
        help: ArgumentHelp(
            "The end of --block: 30m, 24h, 7d (by the broker's clock) or 2027-01-31T12:00:00Z.", valueName: "time"))
    var until: BlockEnd?

    @OptionGroup var revoking: RevokingOptions
    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        if condition != nil {
            guard kind == .session, value == nil else {
                throw ValidationError("--where stands with session, and without a value.")
            }
        } else if (kind == .all) != (value == nil) {
            throw ValidationError(kind == .all ? "all has no value." : "Which \(kind.rawValue)?")
        }
        guard value != "" else { throw ValidationError("The value is empty.") }
        guard until == nil || block else { throw ValidationError("--until stands with --block.") }
        guard !block || kind.canBlock else {
            throw ValidationError("--block stands with subject, rule, issuer or all.")
        }
    }

    func run() async throws {
        var order: [String: JSON] = ["kind": .string(kind.rawValue)]
        var words = kind == .all ? "everything" : kind.rawValue
        if let condition {
            order["where"] = .object(["claim": .string(condition.claim), "value": .string(condition.value)])
            words = "sessions with \(condition.claim)=\(condition.value)"
        } else if let value {
            let value = try kind.meant(value)
            order["value"] = .string(value)
            words += " \(value)"
        }
        if block { order["block"] = .bool(true) }
        switch until {
        case .moment(let text): order["until"] = .string(text)
        case .seconds(let count): order["until_in"] = .integer(count)
        case nil: break
        }
        try await revoking.revoke(order, words, broker)
    }
}

extension Revoke.Kind {
    /// What `value` stands for.
    func meant(_ value: String) throws -> String {
        var value = value
        if value == "-" {
            guard let line = readLine(), !line.isEmpty else {
                throw CommandFailure(.usage, "there is nothing on standard input")
            }
            value = line
        }
        guard self == .token || !PastedToken.isToken(value) else {
            throw CommandFailure(.usage, "that is a token, and no \(rawValue); nothing was sent")
        }
        let parts = value.split(separator: ".", omittingEmptySubsequences: false)
        guard self == .token, parts.count == 3 else { return value }
        // What it says of itself; the broker knows whether there was such a token.
        var padded = String(parts[1].map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
        padded += String(repeating: "=", count: (4 - padded.count % 4) % 4)
        guard let payload = Data(base64Encoded: padded), let claims = try? JSON(parsing: payload),
            let id = claims["jti"]?.text
        else { throw CommandFailure(.usage, "that is no token of a broker: it names no jti") }
        return id
    }
}

/// `NAME=VALUE`
struct ClaimCondition: ExpressibleByArgument {
    let claim: String
    let value: String

    init?(argument: String) {
        guard let sign = argument.firstIndex(of: "="), sign != argument.startIndex,
            argument.index(after: sign) != argument.endIndex
        else { return nil }
        claim = String(argument[..<sign])
        value = String(argument[argument.index(after: sign)...])
    }
}

/// A moment, or how long from now.
enum BlockEnd: ExpressibleByArgument {
    /// RFC 3339
    case moment(String)
    /// By the broker's clock: this machine's may be another.
    case seconds(Int64)

    init?(argument: String) {
        if let unit = argument.last, let seconds = ["s": 1, "m": 60, "h": 3600, "d": 86_400][unit],
            let count = Int64(argument.dropLast()), (1...1_000_000).contains(count)
        {
            self = .seconds(count * Int64(seconds))
        } else if let moment = try? Date(argument, strategy: .iso8601) {
            self = .moment(moment.formatted(.iso8601))
        } else {
            return nil
        }
    }
}

import ArgumentParser
import FoundationEssentials

/// Which records are asked for; those that meet all of it.
struct AuditFilter: ParsableArguments {
    @Option(help: ArgumentHelp("From then on: a moment, or how long ago, such as 24h or 7d.", valueName: "time"))
    var since: PastMoment?

    @Option(help: ArgumentHelp("Before then.", valueName: "time"))
    var until: PastMoment?

    @Option(help: "Of this kind, such as exchange.refused.")
    var kind: String?

    @Option(help: "About this subject, which is compared as a whole.")
    var subject: String?

    @Option(help: "By this rule.")
    var rule: String?

    @Option(help: "Of the request with this trace id.")
    var trace: TraceArgument?

    @Option(parsing: .unconditional, help: "Of this session.")
    var session: Identifier?

    @Option(
        parsing: .unconditional, help: ArgumentHelp("About the gateway token with this jti.", valueName: "jti"))
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

/// A trace id, as the broker writes it: 32 hexadecimal digits, here also large ones.
struct TraceArgument: ExpressibleByArgument {
    let text: String

    init?(argument: String) {
        guard argument.utf8.count == 32, argument.allSatisfy({ $0.isASCII && $0.isHexDigit }) else { return nil }
        text = argument.lowercased()
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

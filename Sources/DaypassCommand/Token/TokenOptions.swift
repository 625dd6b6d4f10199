import ArgumentParser
import BrokerClient

/// Which token a command wants, from whom, and as whom.
struct TokenOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The broker's public address; else DAYPASS_URL.", valueName: "url"))
    var url: String?

    @Option(
        help: ArgumentHelp(
            "Who asks: \(Identity.names); else DAYPASS_IDENTITY, else what is found.", valueName: "identity"))
    var identity: String?

    @Option(
        help: ArgumentHelp(
            "What an identity token is asked for as its audience; else DAYPASS_AUDIENCE, else the broker's address.",
            valueName: "audience"))
    var audience: String?

    @Option(help: ArgumentHelp("A scope of the token, all that the rule grants by default.", valueName: "scope"))
    var scope: [String] = []

    @Option(help: ArgumentHelp("The rule that is to grant it; the first that matches by default.", valueName: "rule"))
    var rule: String?

    @Option(
        help: ArgumentHelp(
            "How long it has to last yet, such as 10m; what has less is renewed (at most 24h).", valueName: "duration"),
        transform: Lifetime.init(parsing:))
    var minTtl = Lifetime.ofHelpers

    @Option(help: .authorities, completion: .file())
    var caFile: String?

    var arguments: TokenArguments {
        TokenArguments(
            url: url, identity: identity, audience: audience, scope: scope, rule: rule, minTtl: minTtl, caFile: caFile)
    }
}

/// How long, as an option has it: 90s, 6m, 1h.
struct Lifetime: Sendable, Hashable, CustomStringConvertible {
    let seconds: Int64

    var description: String { seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s" }

    var duration: Duration { .seconds(seconds) }

    /// What Claude Code's cache of five minutes needs, and a minute more.
    static let ofHelpers = Lifetime(seconds: 360)

    private init(seconds: Int64) {
        self.seconds = seconds
    }

    /// - Throws: with the forms that there are.
    init(parsing argument: String) throws {
        guard let unit = argument.last, let factor = ["s": 1, "m": 60, "h": 3600][unit] as Int64?,
            argument.utf8.dropLast().allSatisfy({ (0x30...0x39).contains($0) }),
            let count = Int64(argument.dropLast()), count <= 86_400, (0...86_400).contains(count * factor)
        else { throw ValidationError("a duration is such as 90s, 6m or 1h, and at most 24h") }
        seconds = count * factor
    }
}

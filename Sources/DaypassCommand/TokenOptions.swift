import ArgumentParser
import BrokerClient
import FoundationEssentials

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

    @Option(
        help: ArgumentHelp(
            "The authorities that vouch for the broker's certificate, PEM; else DAYPASS_CA_FILE, else the system's.",
            valueName: "file"),
        completion: .file())
    var caFile: String?

    /// - Parameter environment: without variables that are empty.
    func wish(in environment: [String: String]) throws -> TokenWish {
        let (given, source) = url.map { ($0, "--url") } ?? (environment["DAYPASS_URL"] ?? "", "DAYPASS_URL")
        guard !given.isEmpty else {
            throw CommandFailure(.usage, "which broker? Give --url, or set DAYPASS_URL to its public address")
        }
        guard let origin = BrokerAddress.origin(parsing: given) else {
            throw CommandFailure(
                .usage,
                "\(source) has to be an origin such as https://daypass.example.com (http only for a loopback host)")
        }
        let audience = audience ?? environment["DAYPASS_AUDIENCE"] ?? origin
        let scopes = scope.flatMap { $0.split(separator: " ").map(String.init) }
        for text in [audience] + scopes + (rule.map { [$0] } ?? []) where !Self.isPlain(text) {
            throw CommandFailure(.usage, "an audience, a scope and a rule have 1 to 512 printable ASCII characters")
        }
        return TokenWish(
            origin: origin, identity: try who(in: environment), audience: audience, scope: scopes, rule: rule,
            authorities: caFile ?? environment["DAYPASS_CA_FILE"], minimumLife: minTtl.duration)
    }

    private static func isPlain(_ text: String) -> Bool {
        (1...512).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    private func who(in environment: [String: String]) throws -> Identity {
        let (name, source) = (
            identity ?? environment["DAYPASS_IDENTITY"], identity == nil ? "DAYPASS_IDENTITY" : "--identity"
        )
        guard let name else {
            guard let found = Identity.found(in: environment) else {
                throw CommandFailure(.notPermitted, Identity.absence(in: environment))
            }
            return found
        }
        guard let identity = Identity(parsing: name) else {
            throw CommandFailure(.usage, "\(source) has to be one of \(Identity.names)")
        }
        return identity
    }

    /// The token, by whatever way there is.
    func token(in environment: [String: String]) async throws -> HeldToken {
        let set = environment.filter { !$0.value.isEmpty }
        let wish = try wish(in: set)
        do throws(TokenFailure) {
            let session = try TokenSession(wish, in: set) { Terminal.warn($0) }
            let held = try await session.token()
            if held.left(at: SystemTokenClock().wall) < wish.minimumLife,
                held.end - held.received < 1000 * minTtl.seconds
            {
                Terminal.warn(
                    "the token lasts for \((held.end - held.received) / 1000) s only, and was to have \(minTtl.seconds) s left"
                )
            }
            return held
        } catch {
            throw CommandFailure(error)
        }
    }
}

extension CommandFailure {
    init(_ failure: TokenFailure) {
        let code: Code =
            switch failure {
            case .noIdentity: .notPermitted
            case .unusable: .usage
            case .unreachable, .overloaded: .unreachable
            case .refused, .unreadable: .refused
            }
        // One line, whatever the broker says.
        self.init(code, ReadableText.escaped(failure.words))
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

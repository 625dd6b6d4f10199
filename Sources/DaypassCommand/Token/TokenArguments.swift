import BrokerClient
import FoundationEssentials

/// Which token somebody wants, from whom, and as whom, as a command line has it.
struct TokenArguments: Sendable, Hashable {
    var url: String?
    var identity: String?
    var audience: String?
    var scope: [String] = []
    var rule: String?
    var minTtl = Lifetime.ofHelpers
    var caFile: String?

    /// The broker's.
    /// - Parameter environment: without variables that are empty.
    func origin(in environment: [String: String]) throws(CommandFailure) -> String {
        let (given, source) = url.map { ($0, "--url") } ?? (environment["DAYPASS_URL"] ?? "", "DAYPASS_URL")
        guard !given.isEmpty else {
            throw CommandFailure(.usage, "which broker? Give --url, or set DAYPASS_URL to its public address")
        }
        guard let origin = BrokerAddress.origin(parsing: given) else {
            throw CommandFailure(
                .usage,
                "\(source) has to be an origin such as https://daypass.example.com (http only for a loopback host)")
        }
        return origin
    }

    /// - Parameter environment: without variables that are empty.
    func wish(in environment: [String: String]) throws -> TokenWish {
        let origin = try origin(in: environment)
        let audience = audience ?? environment["DAYPASS_AUDIENCE"] ?? origin
        guard scope.allSatisfy({ $0.contains { $0 != " " } }) else {
            throw CommandFailure(.usage, "a scope is empty: leave --scope out for all that the rule grants")
        }
        let scopes = scope.flatMap { $0.split(separator: " ").map(String.init) }
        for text in [audience] + scopes + (rule.map { [$0] } ?? []) where !Self.isPlain(text) {
            throw CommandFailure(.usage, "an audience, a scope and a rule have 1 to 512 printable ASCII characters")
        }
        return TokenWish(
            origin: origin, identity: try who(in: environment, at: origin), audience: audience, scope: scopes,
            rule: rule,
            authorities: caFile ?? environment["DAYPASS_CA_FILE"], minimumLife: minTtl.duration)
    }

    private static func isPlain(_ text: String) -> Bool {
        (1...512).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    private func who(in environment: [String: String], at origin: String) throws -> Identity {
        let (name, source) = (
            identity ?? environment["DAYPASS_IDENTITY"], identity == nil ? "DAYPASS_IDENTITY" : "--identity"
        )
        guard let name else {
            guard let found = Identity.found(in: environment, at: origin) else {
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
    /// - Parameter isFresh: whether a kept one is only for where no new one can be got.
    func token(in environment: [String: String], isFresh: Bool = false) async throws -> HeldToken {
        let set = environment.filter { !$0.value.isEmpty }
        var wish = try wish(in: set)
        wish.isFresh = isFresh
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
            case .noIdentity, .signedOut: .notPermitted
            case .unusable: .usage
            case .unreachable, .overloaded: .unreachable
            case .refused, .unreadable: .refused
            }
        // One line, whatever the broker says.
        self.init(code, ReadableText.escaped(TokenText.hidden(in: failure.words)))
    }
}

import ArgumentParser
import BrokerClient
import CProcess
import FoundationEssentials

/// What `daypass token` does.
struct PrintedToken: Sendable, Hashable {
    enum Form: Sendable, Hashable {
        case plain
        /// What there is to know about it.
        case json
        /// The header that carries it, in a JSON object.
        case header
    }

    var arguments = TokenArguments()
    var form = Form.plain

    func run() async throws {
        // It holds two secrets by and by; where that cannot be had it is no worse off than its caller.
        _ = daypass_keep_memory_private()
        let held = try await arguments.token(in: ProcessInfo.processInfo.environment)
        let text = held.token.reveal()
        switch form {
        case .plain: Terminal.print(text)
        case .json:
            let left = held.left(at: SystemTokenClock().wall).components.seconds
            try Terminal.print(
                .object([
                    "access_token": .string(text), "token_type": .string("Bearer"), "scope": .string(held.scope),
                    "session_id": .string(held.session), "expires_in": .integer(left),
                    "expires": .string(held.endText),
                ]))
        case .header:
            let headers = JSON.object(["Authorization": .string("Bearer \(text)")])
            Terminal.print(String(decoding: try headers.encoded(), as: UTF8.self))
        }
    }
}

/// The arguments of `daypass token` in their usual form: helpers run it every few minutes, and to build the parser of all
/// commands takes several times as long as to print a token from the cache.
extension PrintedToken {
    /// - Returns: nil for whatever the parser has to have a look at: other commands, other forms, and what is wrong.
    init?(parsing arguments: [String]) {
        guard arguments.first == "token" else { return nil }
        var rest = arguments.dropFirst()
        var seen: Set<String> = []
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = parts[0]
            guard name == "--scope" || seen.insert(name).inserted else { return nil }
            switch (name, parts.count) {
            case ("--json", 1):
                guard form == .plain else { return nil }
                form = .json
            case ("--header", 1):
                guard form == .plain else { return nil }
                form = .header
            default:
                guard let value = parts.count == 2 ? parts[1] : rest.popFirst(), !value.isEmpty, !value.hasPrefix("-")
                else { return nil }
                switch name {
                case "--url": self.arguments.url = value
                case "--identity": self.arguments.identity = value
                case "--audience": self.arguments.audience = value
                case "--scope": self.arguments.scope.append(value)
                case "--rule": self.arguments.rule = value
                case "--ca-file": self.arguments.caFile = value
                case "--min-ttl":
                    guard let lifetime = try? Lifetime(parsing: value) else { return nil }
                    self.arguments.minTtl = lifetime
                default: return nil
                }
            }
        }
    }
}

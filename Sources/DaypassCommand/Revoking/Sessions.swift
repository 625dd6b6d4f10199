import ArgumentParser
import BrokerClient

/// `daypass sessions`
struct Sessions: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The sessions that are live.",
        discussion: "Example: daypass sessions list --issuer github",
        subcommands: [SessionsList.self, SessionsShow.self, SessionsEnd.self])
}

struct SessionsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List live sessions, the latest first.",
        discussion: """
            A session is listed until its end, revoked or not. With --signed-in or --email it is one that somebody signed in \
            to with `daypass login` or Claude Code's /login, with the e-mail address that the identity provider gave, the \
            device and program as they called themselves, and the last renewal.

            Example: daypass sessions list --email ada@example.com
            """)

    @Option(help: "Of this subject.")
    var subject: String?

    @Option(help: "Under this rule.")
    var rule: String?

    @Option(help: "Of this issuer.")
    var issuer: String?

    @Option(help: ArgumentHelp("Whose subject token had this claim.", valueName: "claim=value"))
    var claim: ClaimCondition?

    @Option(help: "Whoever signed in with this e-mail address, as the provider spells it.")
    var email: String?

    @Flag(help: "Those that somebody signed in to.")
    var signedIn = false

    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        let wanted = [
            ("subject", subject), ("rule", rule), ("issuer", issuer),
            ("claim", claim.map { "\($0.claim)=\($0.value)" }), ("email", email),
            ("signed_in", signedIn && email == nil ? "true" : nil),
        ]
        // An empty one would be none at all, and the list one of everything.
        guard wanted.allSatisfy({ $0.1 != "" }) else { throw CommandFailure(.usage, "a filter is empty") }
        try await broker.withClient { client in
            let query = wanted.compactMap { name, value in value.map { (name, $0) } }
            let sessions = try await client.list("sessions", "sessions", query, atMost: list.limit)
            let ofPeople = signedIn || email != nil
            try broker.print(sessions, "sessions", ofPeople ? Self.columnsOfPeople : Self.columns)
            guard let claim, sessions.elements.isEmpty else { return }
            Terminal.note(
                "only sessions that keep the claim are found; whose do not: "
                    + ReadableText.escaped("daypass revoke session --where \(claim.claim)=\(claim.value) --dry-run"))
        }
    }

    static let columns: KeyValuePairs = [
        "SESSION": "sid", "SUBJECT": "subject", "RULE": "rule", "START": "start", "END": "end", "REVOKED": "revoked",
    ]

    private static let columnsOfPeople: KeyValuePairs = [
        "SESSION": "sid", "EMAIL": "sign_in.email", "SUBJECT": "subject", "DEVICE": "sign_in.device",
        "PROGRAM": "sign_in.program", "RULE": "rule", "START": "start", "RENEWED": "sign_in.renewed", "END": "end",
        "REVOKED": "revoked",
    ]
}

struct SessionsShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a session, what it may do and the claims it was granted for.",
        discussion: """
            Also one that has ended, for as long as it is on record. What it may do is what its rule grants now; `nothing` \
            where it is revoked, or the rule is gone or matches no more. Of its tokens the last that have not expired, by their jti; all that \
            there were has daypass audit search --session ID.

            Example: daypass sessions show AZqtVnEw1dCdqGm4vXo7Gw
            """)

    @Argument(help: "The session's id.", transform: Identifier.init(parsing:))
    var session: Identifier

    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let found = try await client.get("sessions/\(session.text)")
            guard !broker.json else { return try Terminal.print(found) }
            let members = [
                "sid", "subject", "issuer", "rule", "start", "end", "revoked", "lineage", "x5t#S256",
            ].filter { found[$0] != nil }
            var rows = members.map { [$0, found.cell($0)] }
            for (name, path) in Self.ofSignIn where found["sign_in"] != nil {
                rows.append([name, found.cell(at: path)])
            }
            switch found["granted"] {
            case _ where found["revoked"] == .bool(true): rows.append(["may do", "nothing: it is revoked"])
            case .object?:
                for name in ["scope", "models", "audience", "ttl_seconds"] where found["granted"]?[name] != nil {
                    rows.append([name, found.cell(at: "granted.\(name)")])
                }
            case .null?: rows.append(["may do", "nothing"])
            default: break
            }
            for token in found.list("tokens") where found["revoked"] != .bool(true) {
                rows.append(["token \(token.cell("jti"))", "\(token.cell("issued")) to \(token.cell("expires"))"])
            }
            if let actor = found["act"] { rows.append(["act", String(decoding: try actor.encoded(), as: UTF8.self)]) }
            if case .object(let claims) = found["claims"] {
                for (name, value) in claims.sorted(by: { $0.key < $1.key }) {
                    let encoded = String(decoding: try value.encoded(), as: UTF8.self)
                    rows.append(["claim \(name)", value.text ?? encoded])
                }
            }
            Terminal.print(Table([], rows))
        }
    }

    private static let ofSignIn: KeyValuePairs = [
        "email": "sign_in.email", "device": "sign_in.device", "program": "sign_in.program",
        "renewed": "sign_in.renewed", "renewals": "sign_in.renewals",
    ]
}

struct SessionsEnd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "end", abstract: "Revoke a session: its tokens, and those of sessions below it.",
        discussion: "Example: daypass sessions end AZqtVnEw1dCdqGm4vXo7Gw --reason \"left the company\"")

    @Argument(help: "The session's id.", transform: Identifier.init(parsing:))
    var session: Identifier

    @OptionGroup var revoking: RevokingOptions
    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await revoking.revoke(
            ["kind": .string("session"), "value": .string(session.text)], "session \(session.text)", broker)
    }
}

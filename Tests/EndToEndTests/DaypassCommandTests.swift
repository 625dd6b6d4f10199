import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `The administrators' command` {
    /// Two subjects; one tries to write over what stands before it.
    private static let sessions = [
        Sample.session("s1", subject: "ci:ada", claims: ["email": "ada@example.com", "n": 7]),
        Sample.session("s2", subject: "ci:ada", rule: "docs", claims: ["email": "ada@example.com"]),
        Sample.session("s3", subject: "ci:\u{1B}[2K\u{202E}eve\u{200B}", claims: [:]),
    ]

    private func run(_ body: @escaping @Sendable (AdministeredBroker) async throws -> Void) async throws {
        try await AdministeredBroker.run(sessions: Self.sessions, body)
    }

    @Test func `lists keys as a table, and as JSON`() async throws {
        try await run { broker in
            let table = try await broker.daypass("keys", "list")
            #expect(table.status == 0 && table.error == "", "\(table.error)")
            #expect(
                table.output == """
                    KEY         STATE     ALGORITHM  CREATED               SINCE
                    old-key     retiring  ES256      2027-01-15T08:00:00Z  2027-01-15T08:01:00Z
                    active-key  active    ES256      2027-01-15T08:01:00Z  -
                    staged-key  staged    ES256      2027-01-15T08:02:00Z  -

                    """)
            let json = try await broker.daypass("keys", "list", "--json")
            let keys = try JSONReader.readObject(Array(json.output.utf8))
            #expect(keys["keys"]?.array?.count == 3)
            #expect(
                keys["keys"]?.array?.last?.object == [
                    "kid": "staged-key", "algorithm": "ES256", "state": "staged", "created": "2027-01-15T08:02:00Z",
                ])
        }
    }

    @Test func `writes what could move the cursor or reorder text as its number`() async throws {
        try await run { broker in
            let table = try await broker.daypass("sessions", "list")
            #expect(
                table.output == """
                    SESSION  SUBJECT                          RULE     START                 END                   REVOKED
                    s1       ci:ada                           ci-main  2023-11-14T22:13:20Z  2023-11-14T23:13:20Z  no
                    s2       ci:ada                           docs     2023-11-14T22:13:20Z  2023-11-14T23:13:20Z  no
                    s3       ci:\\u{1B}[2K\\u{202E}eve\\u{200B}  ci-main  2023-11-14T22:13:20Z  2023-11-14T23:13:20Z  no

                    """)
            // A program reads the text itself, and a terminal shows the same characters.
            let text = try await broker.daypass("sessions", "list", "--json").output
            #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || (" "..."~").contains($0) }, "\(text)")
            let json = try JSONReader.readObject(Array(text.utf8))
            #expect(json["sessions"]?.array?.last?.object?["subject"] == "ci:\u{1B}[2K\u{202E}eve\u{200B}")
            #expect(json["complete"] == true)
        }
    }

    @Test func `shows a session with its claims, and lists by filters and as many as asked for`() async throws {
        try await run { broker in
            let shown = try await broker.daypass("sessions", "show", "s1")
            #expect(
                shown.output == """
                    sid          s1
                    subject      ci:ada
                    issuer       ci
                    rule         ci-main
                    start        2023-11-14T22:13:20Z
                    end          2023-11-14T23:13:20Z
                    revoked      no
                    claim email  ada@example.com
                    claim n      7

                    """)
            let filtered = try await broker.daypass(
                "sessions", "list", "--subject", "ci:ada", "--rule", "r&s", "--issuer", "ci", "--claim", "email=a=b+c",
                "--limit", "1")
            #expect(filtered.status == 0 && filtered.output.split(separator: "\n").count == 2, "\(filtered.output)")
            #expect(filtered.error == "there are more: --limit shows them\n")
            #expect(
                broker.fake.calls.filters.last
                    == .init(
                        subject: "ci:ada", rule: "r&s", issuer: "ci", claim: .init(name: "email", value: "a=b+c")))
            let none = try await broker.daypass("sessions", "list", "--subject", "nobody", "--claim", "email=x")
            #expect(none.error.hasPrefix("none\nonly sessions that keep the claim are found; whose do not:"))
        }
    }

    @Test func `lists issuers, and reloads rules with what would take grants back`() async throws {
        try await run { broker in
            let issuers = try await broker.daypass("issuers", "list")
            #expect(
                issuers.output == """
                    NAME  USABLE  KEYS  AGE (S)  LAST REFRESH  LAST ERROR  ISSUER
                    ci    yes     1     -        -             -           https://ci.example.com

                    """)
            let reload = try await broker.daypass("rules", "reload")
            #expect(
                reload.output == """
                    CHANGE   KIND  NAME
                    added    rule  ci-docs
                    changed  rule  ci-main
                    removed  rule  ci-old

                    """)
            #expect(
                reload.error == """
                    warning: store changed
                    What was granted before stays good until it ends. To take it back:
                      daypass revoke rule ci-old
                      daypass revoke rule ci-main

                    """)
            let rehearsal = try await broker.daypass("rules", "reload", "--dry-run")
            #expect(rehearsal.output == reload.output)
            #expect(rehearsal.error.contains("would stay good until it ends"), "\(rehearsal.error)")
            #expect(broker.fake.calls.lines == ["reload"])
        }
    }

    @Test func `rotates and activates keys, and with --dry-run changes nothing`() async throws {
        try await run { broker in
            let dry = try await broker.daypass("keys", "rotate", "--dry-run")
            #expect(dry.status == 0 && dry.output.contains("staged-key"), "\(dry.error)")
            #expect(broker.fake.calls.lines == [])
            let rotated = try await broker.daypass("keys", "rotate")
            #expect(
                rotated.output == """
                    KEY         STATE
                    staged-key  active
                    active-key  retiring
                    new-key     staged

                    """)
            #expect(try await broker.daypass("keys", "rotate", "--force", "--yes").status == 0)
            #expect(try await broker.daypass("keys", "activate", "staged-key").status == 0)
            let refused = try await broker.daypass("keys", "activate", "old-key")
            #expect(refused.status == 1 && refused.error.hasPrefix("daypass: the key old-key is not staged (trace "))
            #expect(try await broker.daypass("keys", "revoke", "active-key", "--yes").status == 0)
            #expect(
                broker.fake.calls.lines == [
                    "rotate force=false", "rotate force=true", "activate staged-key", "activate old-key",
                    "revoke key active-key",
                ])
        }
    }

    @Test func `revokes each kind, says which number it has, and sends all that it was told`() async throws {
        try await run { broker in
            let made = try await broker.daypass(
                "revoke", "subject", "ci:ada", "--block", "--until", "2999-01-01T00:00:00Z", "--reason", "left", "--yes"
            )
            #expect(made.status == 0, "\(made.error)")
            let rows = made.output.split(separator: "\n")
            #expect(rows.first?.hasPrefix("NUMBER  KIND     VALUE   BLOCK  UNTIL") == true, "\(made.output)")
            #expect(rows.last?.hasPrefix("1       subject  ci:ada  yes    2999-01-01T00:00:00Z") == true)
            for arguments in [["rule", "ci-main"], ["issuer", "ci"], ["session", "s1"], ["all"]] {
                #expect(
                    try await AdministeredBroker.daypass(
                        ["revoke"] + arguments + ["--yes"], ["DAYPASS_SOCKET": broker.socket]
                    ).status == 0, "\(arguments)")
            }
            // The token itself in the place of its jti.
            let payload = Base64URL.encode(Array(#"{"jti":"the-token","sub":"ci:???>>>"}"#.utf8))
            #expect(payload.contains("_") && payload.contains("-"))
            #expect(try await broker.daypass("revoke", "token", "eyJ.\(payload).sig", "--yes").status == 0)
            // Half a token is no id, and would be in the records for good.
            let half = try await broker.daypass("revoke", "token", "eyJ.\(payload)", "--yes")
            #expect(half.status == 1 && half.error.contains("has to be its id"), "\(half.error)")
            #expect(try await broker.daypass("sessions", "end", "s2", "--yes").status == 0)
            let where_ = try await broker.daypass("revoke", "session", "--where", "email=ada@example.com", "--yes")
            #expect(where_.status == 0 && where_.output.split(separator: "\n").count == 3, "\(where_.output)")
            let orders = broker.fake.calls.orders
            #expect(
                orders == [
                    .init(
                        .subject, .value("ci:ada"), reason: "left",
                        block: .init(until: Date(timeIntervalSince1970: 32_472_144_000))),
                    .init(.rule, .value("ci-main")), .init(.issuer, .value("ci")), .init(.session, .value("s1")),
                    .init(.all, .everything), .init(.token, .value("the-token")), .init(.session, .value("s2")),
                    .init(.session, .claim("email", "ada@example.com")),
                ])
            let list = try await broker.daypass("revocations", "--json")
            #expect(try JSONReader.readObject(Array(list.output.utf8))["revocations"]?.array?.count == 9)
            let none = try await broker.daypass("revoke", "session", "--where", "email=nobody@example.com", "--yes")
            #expect(none.status == 1 && none.error == "daypass: there are no sessions with email=nobody@example.com\n")
        }
    }

    @Test func `sends how long a block is to last, and leaves the clock to the broker`() async throws {
        try await run { broker in
            // By this machine's clock it would end in a year that is past.
            let outcome = try await AdministeredBroker.daypass(
                ["revoke", "subject", "ci:ada", "--block", "--until", "2h", "--yes"],
                ["DAYPASS_SOCKET": broker.socket])
            #expect(outcome.status == 0, "\(outcome.error)")
            let end = try #require(broker.fake.calls.orders.first?.block?.until)
            #expect(end.timeIntervalSince1970.rounded() == end.timeIntervalSince1970)
            #expect((Date().addingTimeInterval(7100)...Date().addingTimeInterval(7201)).contains(end))
            let past = try await broker.daypass(
                "revoke", "subject", "ci:ada", "--block", "--until", "2001-01-01T00:00:00Z", "--yes")
            #expect(past.status == 1 && past.error.contains("which is past: the broker's clock says"), "\(past.error)")
        }
    }

    @Test func `lifts blocks, and shows them before and says so where there is none`() async throws {
        try await run { broker in
            let none = try await broker.daypass("unblock", "subject", "ci:ada", "--yes")
            #expect(none.status == 1 && none.error.hasPrefix("daypass: subject ci:ada is not blocked"), "\(none.error)")
            for arguments in [["all"], ["subject", "ci:ada"]] {
                let made = try await AdministeredBroker.daypass(
                    ["revoke"] + arguments + ["--block", "--yes"], ["DAYPASS_SOCKET": broker.socket])
                #expect(made.status == 0, "\(made.error)")
            }
            let dry = try await broker.daypass("unblock", "subject", "ci:ada", "--dry-run")
            #expect(dry.status == 0 && dry.output == "", "\(dry.error)")
            #expect(dry.error == "subject ci:ada is blocked without end, and would be let in\n")
            let dryJSON = try await broker.daypass("unblock", "all", "--dry-run", "--json")
            #expect(try JSONReader.readObject(Array(dryJSON.output.utf8))["dry_run"] == true)
            #expect(broker.fake.calls.lines.count == 3)
            let lifted = try await broker.daypass("unblock", "subject", "ci:ada", "--reason", "back", "--yes")
            #expect(
                lifted.output == """
                    KIND     VALUE   WAS BLOCKED  REVOCATIONS
                    subject  ci:ada  without end  2

                    """, "\(lifted.error)")
            let json = try await broker.daypass("unblock", "all", "--json", "--yes")
            #expect(try JSONReader.readObject(Array(json.output.utf8))["lifted"] == true)
            #expect(
                broker.fake.calls.orders.suffix(2) == [
                    .init(.subject, .value("ci:ada"), reason: "back"), .init(.all, .everything),
                ])
        }
    }

    @Test func `passes on what the broker warns of, and the block that is in force`() async throws {
        try await run { broker in
            broker.fake.find(.init(warnings: ["odd\u{202E}"], block: .init(), issuersWithoutClaim: ["ci"]))
            let dry = try await broker.daypass("revoke", "rule", "gone", "--dry-run")
            #expect(dry.error.hasSuffix("blocked now: without end\nwarning: odd\\u{202E}\n"), "\(dry.error)")
            let made = try await broker.daypass("revoke", "rule", "gone", "--yes")
            #expect(made.status == 0 && made.error == "warning: odd\\u{202E}\n", "\(made.error)")
            let none = try await broker.daypass(
                "revoke", "session", "--where", "email=nobody@example.com", "--yes", "--json")
            #expect(none.status == 1 && none.error.contains("warning: odd"), "\(none.error)")
            let json = try JSONReader.readObject(Array(none.output.utf8))
            #expect(json["issuers_without_claim"] == ["ci"] && json["revocations"] == [])
            broker.fake.delayRecording(byReads: 1)
            let waiting = try await broker.daypass("revoke", "all", "--yes")
            #expect(waiting.status == 1 && waiting.error.hasPrefix("warning: odd"), "\(waiting.error)")
        }
    }

    @Test func `takes ids that begin with a hyphen, with and without --`() async throws {
        try await run { broker in
            let ids = ["-abc", "-abcdefghijklmnopqrst_", "--cdefghijklmnopqrst-_"]
            for id in ids {
                for arguments in [["revoke", "session", id, "--yes"], ["revoke", "--yes", "session", "--", id]] {
                    let made = try await AdministeredBroker.daypass(arguments, ["DAYPASS_SOCKET": broker.socket])
                    #expect(made.status == 0, "\(arguments): \(made.error)")
                }
            }
            #expect(
                broker.fake.calls.orders
                    == ids.flatMap { id in
                        Array(repeating: .init(.session, .value(ExactString(id))), count: 2)
                    })
        }
    }

    private static let token = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ0MSJ9.c2lnbmF0dXJl"

    @Test(arguments: [
        ["revoke", "session", token, "--yes"], ["revoke", "subject", token, "--yes"], ["sessions", "show", token],
        ["sessions", "end", token, "--yes"], ["keys", "activate", token], ["keys", "revoke", token, "--yes"],
        ["unblock", "subject", token, "--yes"], ["revoke", "session", "Bearer \(token)", "--yes"],
        ["revoke", "token", token, token, "--yes"], ["revoke", "token", token, "x", "--yes"],
        ["revoke", "token", token, "--reason=\(token)", "--yes"], ["revoke", "token", "x", "--reason", token, "--yes"],
        ["sessions", "list", "--subject", token], ["revoke", "token", token, "--what", "--yes"], [token],
    ])
    func `never prints nor sends a token that was pasted in the wrong place`(_ arguments: [String]) async throws {
        try await run { broker in
            let outcome = try await AdministeredBroker.daypass(arguments, ["DAYPASS_SOCKET": broker.socket])
            #expect(outcome.status == 2, "\(outcome.error)")
            #expect(!outcome.error.contains("eyJ") && outcome.output == "", "\(outcome.error)")
            #expect(broker.fake.calls.lines == [] && broker.fake.calls.filters == [])
        }
    }

    @Test func `shows with --dry-run which sessions would end, and ends none`() async throws {
        try await run { broker in
            let dry = try await broker.daypass("revoke", "session", "--where", "email=ada@example.com", "--dry-run")
            #expect(dry.status == 0)
            #expect(dry.error == "revoking sessions with email=ada@example.com would end 2 live sessions\n")
            #expect(dry.output.split(separator: "\n").count == 3, "\(dry.output)")
            let json = try await broker.daypass("revoke", "all", "--dry-run", "--json")
            #expect(try JSONReader.readObject(Array(json.output.utf8))["session_count"] == 3)
            #expect(broker.fake.calls.lines == [])
        }
    }

    @Test func `asks nobody where there is no terminal: without --yes nothing is sent`() async throws {
        try await run { broker in
            for arguments in [
                ["revoke", "all"], ["unblock", "all"], ["sessions", "end", "s1"], ["keys", "revoke", "k"],
                ["keys", "rotate", "--force"],
            ] {
                let outcome = try await AdministeredBroker.daypass(arguments, ["DAYPASS_SOCKET": broker.socket])
                #expect(outcome.status == 2 && outcome.error.contains("--yes"), "\(arguments): \(outcome.error)")
            }
            #expect(broker.fake.calls.lines == [])
        }
    }

    @Test(.enabled(if: Programs.python != nil)) func `asks on a terminal, shows what would end, and takes only yes`()
        async throws
    {
        try await run { broker in
            let python = try #require(Programs.python)
            for (answer, status) in [("yes", 0), ("y", 1), ("", 1)] {
                let outcome = try await AdministeredBroker.daypass(
                    ["revoke", "session", "--where", "email=ada@example.com"],
                    ["DAYPASS_SOCKET": broker.socket, "ANSWER": answer, "TERM": "dumb"],
                    through: [python, "-c", OnTerminal.script])
                #expect(outcome.status == status, "\(outcome.output)")
                #expect(outcome.output.contains("Revoke sessions with email=ada@example.com: 2 live sessions."))
                #expect(outcome.output.contains("s2       ci:ada"), "\(outcome.output)")
            }
            #expect(broker.fake.calls.orders.count == 1)
        }
    }

    @Test(.enabled(if: Programs.python != nil)) func `fits its tables to the terminal`() async throws {
        try await run { broker in
            let outcome = try await AdministeredBroker.daypass(
                ["sessions", "list"], ["DAYPASS_SOCKET": broker.socket, "ANSWER": "", "COLUMNS": "80"],
                through: [try #require(Programs.python), "-c", OnTerminal.script])
            let lines = outcome.output.replacing("\r\n", with: "\n").split(separator: "\n")
            #expect(lines.count >= 4 && lines.allSatisfy { $0.count <= 80 }, "\(outcome.output)")
            #expect(lines.contains { $0.contains("…") })
        }
    }

    @Test func `waits with --wait until it is recorded, and says without it that it is not`() async throws {
        try await run { broker in
            broker.fake.delayRecording(byReads: 3)
            let without = try await broker.daypass("revoke", "all", "--yes")
            #expect(without.status == 1 && without.output == "")
            #expect(without.error.contains("revocation 1: in force on this node, and not yet recorded"))
            let with = try await broker.daypass("revoke", "rule", "ci-main", "--yes", "--wait")
            #expect(with.status == 0 && with.output.contains("yes"), "\(with.error)")
            #expect(with.error == "in force; waiting until it is recorded\n")
        }
    }

    @Test func `waits with --wait until all who follow the feed were told, and says what gateways may still accept`()
        async throws
    {
        try await run { broker in
            let until = "a gateway that reads only the key set may accept what it ended until 2027-01-15T08:15:00Z\n"
            broker.fake.delayReaders(byReads: 3)
            let without = try await broker.daypass("revoke", "all", "--yes")
            #expect(without.status == 0, "\(without.error)")
            #expect(without.error == "of 2 who follow the feed of revocations 1 are not told yet\n\(until)")
            let with = try await broker.daypass("revoke", "rule", "ci-main", "--yes", "--wait")
            #expect(with.status == 0, "\(with.error)")
            #expect(
                with.error == """
                    in force and recorded; waiting until all who follow the feed of revocations were told
                    told to all who follow the feed of revocations: 2
                    \(until)
                    """)
            let json = try await broker.daypass("revoke", "all", "--yes", "--json")
            let answer = try JSONReader.readObject(Array(json.output.utf8))
            #expect(answer["readers"]?.object?["open"] == 2 && answer["readers"]?.object?["behind"] == 0)
            #expect(answer["offline_until"] == "2027-01-15T08:15:00Z" && json.error == "")
        }
    }

    @Test func `ends with 69 where nobody answers, and with 77 where this user or token may not`() async throws {
        let workspace = try Workspace()
        let absent = try await AdministeredBroker.daypass(["keys", "list", "--socket", workspace.path("none")], [:])
        #expect(absent.status == 69 && absent.error.contains("No such file or directory"), "\(absent.error)")
        let port = try Workspace.freePort()
        let closed = try await AdministeredBroker.daypass(
            ["keys", "list", "--url", "http://127.0.0.1:\(port)"], ["DAYPASS_TOKEN": "x"])
        #expect(closed.status == 69, "\(closed.error)")
        let anonymous = try await AdministeredBroker.daypass(
            ["keys", "list"], ["DAYPASS_ADMIN_URL": "https://x.example.com"])
        #expect(anonymous.status == 77 && anonymous.error.contains("DAYPASS_TOKEN is not set"), "\(anonymous.error)")
        // That is where tokens come from: it says nothing of where to administer.
        let own = try await AdministeredBroker.daypass(
            ["keys", "list"], ["DAYPASS_URL": "https://x.example.com"], in: workspace.folder)
        #expect(own.status == 69 && own.error.contains("admin.sock"), "\(own.error)")
        #expect(absent.output + closed.output + anonymous.output + own.output == "")
    }

    @Test func `says that nobody listens on a socket that was left behind`() async throws {
        let workspace = try Workspace()
        try workspace.write("admin.sock", "")
        let outcome = try await AdministeredBroker.daypass(
            ["keys", "list", "--socket", workspace.path("admin.sock")], [:])
        #expect(outcome.status == 69 && outcome.error.contains("Connection refused"), "\(outcome.error)")
    }

    @Test(.enabled(if: geteuid() == 0)) func `ends with 77 for a user who may not use the socket`() async throws {
        try await run { broker in
            let outcome = try await AdministeredBroker.daypass(
                ["keys", "list", "--socket", broker.socket], [:],
                through: ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
            #expect(outcome.status == 77 && outcome.error.contains("may not use the socket"), "\(outcome.error)")
        }
    }

    @Test(arguments: [
        [], ["nothing"], ["keys", "list", "--what"], ["revoke", "nothing", "x", "--yes"],
        ["revoke", "subject", "--yes"],
        ["revoke", "all", "x", "--yes"], ["revoke", "subject", "", "--yes"],
        ["revoke", "session", "s", "--block", "--yes"], ["unblock", "session", "s", "--yes"],
        ["unblock", "subject", "--yes"], ["unblock", "all", "x", "--yes"],
        ["unblock", "subject", "s", "--until", "1h"],
        ["unblock", "all"],
        ["revoke", "subject", "s", "--until", "1h", "--yes"],
        ["revoke", "subject", "s", "--block", "--until", "x", "--yes"],
        ["revoke", "session", "s", "--where", "a=b", "--yes"], ["revoke", "rule", "--where", "a=b", "--yes"],
        ["revoke", "session", "--where", "a", "--yes"], ["sessions", "show", "a/b"], ["keys", "activate", "../x"],
        ["sessions", "list", "--limit", "0"], ["sessions", "list", "--subject", ""],
        ["keys", "list", "--socket", "/x", "--url", "https://x"], ["keys", "list", "--url", "http://example.com"],
        ["keys", "list", "--url", "https://example.com/path"], ["revoke", "token", "a.b.c", "--yes"],
        ["credentials", "add"], ["credentials", "add", "Anthropic"], ["credentials", "add", "a/../b"],
        ["credentials", "add", "anthropic", "--timeout", "0"], ["credentials", "list", "a_b"],
        ["credentials", "promote"], ["credentials", "promote", "anthropic", "0"],
        ["credentials", "promote", "anthropic", "two"], ["credentials", "retire", "anthropic", "--yes"],
        ["credentials", "retire", "anthropic", "1"], ["credentials", "retire", "../x", "1", "--yes"],
    ])
    func `ends with 2 where it is used wrongly`(_ arguments: [String]) async throws {
        let outcome = try await AdministeredBroker.daypass(
            arguments, arguments == [] ? [:] : ["DAYPASS_TOKEN": "x", "DAYPASS_SOCKET": "/nonexistent"])
        // Without anything it shows its help.
        #expect(outcome.status == (arguments == [] ? 0 : 2), "\(outcome.status) \(outcome.error)")
    }

    @Test(arguments: [
        [], ["login"], ["logout"], ["whoami"], ["token"], ["exec"], ["keys"], ["keys", "list"], ["keys", "rotate"],
        ["keys", "activate"],
        ["keys", "revoke"], ["revoke"],
        ["unblock"],
        ["revocations"], ["sessions"], ["sessions", "list"], ["sessions", "show"], ["sessions", "end"], ["issuers"],
        ["issuers", "list"], ["rules"], ["rules", "reload"], ["credentials"], ["credentials", "add"],
        ["credentials", "list"], ["credentials", "promote"], ["credentials", "retire"], ["doctor"],
        ["setup", "claude-code"], ["setup", "codex"],
    ])
    func `helps with an example for each command`(_ command: [String]) async throws {
        let help = try await AdministeredBroker.daypass(command + ["--help"], [:])
        #expect(help.status == 0)
        let example = try #require(help.output.split(separator: "\n").first { $0.hasPrefix("Example: daypass") })
        #expect(example.hasPrefix((["Example: daypass"] + command).joined(separator: " ")))
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func `completes in a shell`(_ shell: String) async throws {
        let script = try await AdministeredBroker.daypass(["--generate-completion-script", shell], [:])
        #expect(script.status == 0 && script.output.contains("revoke") && script.output.contains("daypass"))
    }

    @Test func `finds the socket of the folder it runs in only where that is its user's own`() async throws {
        let workspace = try Workspace()
        try await AdministeredBroker.run { broker in
            try FileManager.default.createDirectory(
                atPath: workspace.path("config/run"), withIntermediateDirectories: true)
            // A link to a socket is whoever's made it.
            try FileManager.default.createSymbolicLink(
                atPath: workspace.path("config/run/admin.sock"), withDestinationPath: broker.socket)
            let outcome = try await AdministeredBroker.daypass(["keys", "list"], [:], in: workspace.folder)
            #expect(outcome.status == 69 && outcome.error.contains("/run/daypass/admin.sock"), "\(outcome.error)")
        }
    }

    @Test func `links neither OpenSSL nor SQLite nor any part of the server`() async throws {
        let libraries = try await RunningProcess("/usr/bin/env", ["ldd", Programs.daypass]).outcome()
        #expect(libraries.status == 0 && libraries.output.contains("libc.so"), "\(libraries.error)")
        for name in ["libssl", "libcrypto", "sqlite"] { #expect(!libraries.output.contains(name), "\(name)") }
        let symbols = try Data(contentsOf: URL(filePath: Programs.daypass))
        for name in ["sqlite3_open_v2", "11Hummingbird", "10BrokerHTTP", "12BrokerSQLite"] {
            #expect(symbols.range(of: Data(name.utf8)) == nil, "\(name)")
        }
        #expect(symbols.range(of: Data("12BrokerClient".utf8)) != nil)
    }
}

import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Keys, sessions and rules with the command` {
    private static func keys(_ stage: AdministeredGrants) async throws -> [String: String] {
        let keys = try await stage.json("keys", "list")["keys"]?.array?.compactMap(\.object) ?? []
        return Dictionary(
            keys.map { ($0["state"]?.string?.string ?? "", $0["kid"]?.string?.string ?? "") }, uniquingKeysWith: { $1 })
    }

    private static func published(_ stage: AdministeredGrants) async throws -> Set<String> {
        let answer = try await stage.broker.send(.GET, "/oauth/jwks")
        return Set(answer.json["keys"]?.array?.compactMap { $0.object?["kid"]?.string?.string } ?? [])
    }

    @Test func `a rotation leaves earlier tokens good, and a revoked key's are dead at once`() async throws {
        let stage = try await AdministeredGrants()
        let before = try await Self.keys(stage)
        let (first, second) = (try #require(before["active"]), try #require(before["staged"]))
        #expect(try await Self.published(stage) == [first, second])
        let token = try await stage.token()

        let early = try await stage.daypass(["keys", "rotate"])
        #expect(early.status == 1 && early.error.contains("unless it is forced"), "\(early.error)")
        try await stage.done("keys", "rotate", "--force", "--yes")
        let rotated = try await Self.keys(stage)
        let third = try #require(rotated["staged"])
        #expect(rotated == ["retiring": first, "active": second, "staged": third])
        #expect(try await Self.published(stage) == [first, second, third])
        #expect(try await stage.isGood(token))
        let next = try await stage.token()
        // Signed by the second key, and no better than the first, with which somebody may have made up its parent.
        let renewed = try #require(try await stage.renewed(token).text("access_token"))
        #expect(try await stage.isGood(renewed))

        // Back, and forth again: gateways know both.
        try await stage.done("keys", "activate", first)
        #expect(try await Self.keys(stage)["active"] == first)
        try await stage.done("keys", "activate", second)

        try await stage.done("keys", "revoke", first, "--reason", "copied", "--yes")
        #expect(try await Self.published(stage) == [second, third])
        for dead in [token, renewed] {
            #expect(try await stage.isGood(dead) == false)
            #expect(try await stage.renewed(dead).status == 400)
        }
        try await expectParents(stage, of: first)
        #expect(try await stage.isGood(next))
        let gone = try await stage.daypass(["keys", "activate", first])
        #expect(gone.status == 1 && gone.error.contains("is compromised"), "\(gone.error)")
        let unknown = try await stage.daypass(["keys", "revoke", "no-such-key", "--yes"])
        #expect(unknown.status == 1 && unknown.error.contains("there is no signing key no-such-key"))

        // An id may begin with hyphens.
        for id in ["-" + String(repeating: "k", count: 42), "--" + String(repeating: "k", count: 41)] {
            let odd = try await stage.daypass(["keys", "revoke", id, "--yes"])
            #expect(odd.status == 1 && odd.error.contains("there is no signing key \(id)"), "\(odd.error)")
        }
        let token22 = try await stage.daypass(["revoke", "token", "-abcdefghijklmnopqrstu", "--yes"])
        #expect(token22.status == 0, "\(token22.error)")

        // The one that signs: another one does at once.
        try await stage.done("revoke", "key", second, "--yes")
        let last = try await Self.keys(stage)
        #expect(last["active"] == third)
        #expect(try await Self.published(stage) == [third, try #require(last["staged"])])
        #expect(try await stage.isGood(next) == false)
        #expect(try await stage.isGood(try await stage.token()))

        let revocations = try await stage.json("revocations")["revocations"]?.array?.compactMap(\.object) ?? []
        let ofKeys = revocations.filter { $0["kind"] == "key" }
        #expect(ofKeys.map { $0["value"]?.string?.string } == [second, first])
        #expect(revocations.allSatisfy { $0["durable"] == true })
        for kind in ["key.rotated", "key.activated", "key.revoked"] {
            let records = try await stage.audited(kind)
            #expect(!records.isEmpty, "\(kind)")
            for record in records {
                #expect(record["caller"]?.object?["uid"]?.number == Double(getuid()), "\(record)")
            }
        }
    }

    /// As Operations shows it: what was renewed from tokens of a key, and of that what no record of ours explains.
    private func expectParents(_ stage: AdministeredGrants, of key: String) async throws {
        let ofKey = "SELECT kind FROM audit WHERE json_extract(details, '$.parent.key') = '\(key)'"
        let recorded =
            "(SELECT token FROM audit WHERE token IS NOT NULL AND kind IN "
            + "('exchange.granted', 'session.renewed', 'session.narrowed'))"
        for (condition, expected) in [("", "session.renewed\n"), ("AND ", "session.renewed\n"), ("AND NOT ", "")] {
            let rest = condition.isEmpty ? "" : " \(condition)json_extract(details, '$.parent.token') IN \(recorded)"
            let answer = try await RunningProcess(
                "/usr/bin/env", ["sqlite3", "-readonly", stage.broker.workspace.path("data/daypass.db"), ofKey + rest]
            ).outcome()
            #expect(answer.output == expected, "\(condition)\(answer.error)")
        }
    }

    @Test func `sessions are listed, shown and ended`() async throws {
        let stage = try await AdministeredGrants()
        let first = try await stage.token("first", ["email": "ada@example.com"])
        let session = try await stage.lastSession()
        let second = try await stage.token("second", ref: "refs/heads/docs")
        let table = try await stage.done("sessions", "list").split(separator: "\n")
        #expect(table.count == 3 && table[1].contains("github:second") && table[2].hasPrefix(session), "\(table)")
        for filter in [
            ["--subject", "github:first"], ["--rule", "ci-main"], ["--claim", "email=ada@example.com"],
            ["--issuer", "github", "--claim", "sub=first"],
        ] {
            let found = try await stage.daypass(["sessions", "list"] + filter).output.split(separator: "\n")
            #expect(found.count == 2 && found.last?.hasPrefix(session) == true, "\(filter): \(found)")
        }
        let shown = try await stage.done("sessions", "show", session)
        #expect(shown.contains("ada@example.com"))
        #expect(try await stage.json("sessions", "show", session)["revoked"] == false)
        let part = try await stage.daypass(["sessions", "list", "--limit", "1"])
        #expect(part.error == "there are more: --limit shows them\n" && part.output.contains("github:second"))

        try await stage.done("sessions", "end", session, "--yes")
        #expect(try await stage.isGood(first) == false)
        #expect(try await stage.renewed(first).status == 400)
        #expect(try await stage.isGood(second))
        #expect(try await stage.json("sessions", "show", session)["revoked"] == true)
        let unknown = try await stage.daypass(["sessions", "show", "no-such-session"])
        #expect(unknown.status == 1 && unknown.error.contains("there is no session"), "\(unknown.error)")
    }

    @Test func `rules are reloaded where they are good, and left where they are not`() async throws {
        let stage = try await AdministeredGrants()
        let file = stage.broker.workspace.folder.appending(path: "daypass.yaml")
        let text = try String(contentsOf: file, encoding: .utf8)
        let unchanged = try await stage.daypass(["rules", "reload"])
        #expect(unchanged.status == 0 && unchanged.error == "nothing changed\n", "\(unchanged.error)")

        try stage.broker.workspace.write(
            "daypass.yaml",
            text.replacing(#", "anthropic:count_tokens""#, with: "").replacing("name: docs", with: "name: manual"))
        let reload = try await stage.daypass(["rules", "reload"])
        #expect(
            reload.output == """
                CHANGE   KIND  NAME
                added    rule  manual
                changed  rule  ci-main
                removed  rule  docs

                """, "\(reload.error)")
        #expect(reload.error.contains("  daypass revoke rule docs\n  daypass revoke rule ci-main\n"), "\(reload.error)")
        #expect(try await stage.exchange().text("scope") == "anthropic:messages")

        try stage.broker.workspace.write("daypass.yaml", text.replacing("match: {", with: "matches: {"))
        let broken = try await stage.daypass(["rules", "reload"])
        #expect(broken.status == 1 && broken.error.contains("daypass.yaml:"), "\(broken.error)")
        #expect(try await stage.exchange().text("scope") == "anthropic:messages")
        let records = try await stage.audited("configuration.reloaded")
        #expect(records.count == 1)
        #expect(records.first?["caller"]?.object?["uid"]?.number == Double(getuid()), "\(records)")
    }
}

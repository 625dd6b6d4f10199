import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// From an empty home to a token and to its end, with the real broker and a provider that nobody here wrote.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.peerPython != nil, "oidc-provider-mock is not installed: Tests/Peers/install"))
struct `A developer of a company` {
    @Test func `signs in with an empty home, has tokens, and is told with 77 when an administrator ends the session`()
        async throws
    {
        let stage = try await CompanyStage()
        let none = try await stage.daypass(["token"])
        #expect(none.status == 77 && none.error.contains("daypass login"), "\(none)")

        let (login, code) = try await stage.begin()
        let page = try await stage.approve(code)
        #expect(page.hasPrefix("200\n") && page.contains("Signed in"), "\(page)")
        let signedIn = try await login.outcome()
        #expect(
            signedIn.status == 0 && signedIn.output == "signed in at \(stage.origin) as alice@example.com\n",
            "\(signedIn)")

        let token = try await stage.daypass(["token"])
        #expect(token.status == 0 && token.error == "", "\(token)")
        #expect(try await stage.isGood(token.output))
        let whoami = try await stage.daypass(["whoami"])
        #expect(whoami.output.contains("subject      corp-sso:alice\n"), "\(whoami)")

        let ended = try await stage.administer("sessions", "end", try await stage.session(), "--yes")
        #expect(ended.status == 0, "\(ended)")
        #expect(try await !stage.isGood(token.output))
        // The very next one.
        let refused = try await stage.daypass(["token"])
        #expect(refused.status == 77 && refused.output == "", "\(refused)")
        #expect(refused.error.contains("the session at \(stage.origin) has ended"), "\(refused)")
        #expect(refused.error.contains("`daypass login`") && refused.error.contains(/trace [0-9a-f]{32}/))
        #expect(refused.error.contains("the session was revoked: by an administrator"), "\(refused)")
        // What the person passes on tells the administrator who ended it.
        let trace = try #require(refused.error.firstMatch(of: /trace ([0-9a-f]{32})/))
        let explained = try await stage.administer("explain", String(trace.1))
        #expect(explained.status == 0 && explained.output.contains("revoked"), "\(explained)")

        try await stage.login()
        let again = try await stage.daypass(["token"])
        #expect(again.status == 0)
        #expect(try await stage.isGood(again.output))
    }

    @Test func `loses access at the next refresh once the provider lets nobody in for them`() async throws {
        let stage = try await CompanyStage()
        try await stage.login()
        #expect(try await stage.anew().status == 0)
        try await stage.leaveProvider()
        let token = try await stage.daypass(["token"])
        #expect(token.status == 0, "the one that there is lasts until then")
        let renewed = try await stage.broker.token([
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", String(token.output.dropLast())),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ])
        #expect(renewed.status == 400, "nor does it renew itself: \(renewed.body)")
        let refused = try await stage.anew()
        #expect(refused.status == 77 && refused.output == "" && refused.error.contains("has ended"), "\(refused)")
        #expect(try await !stage.isGood(token.output))
        #expect(try await stage.daypass(["token"]).status == 77)
    }

    @Test func `is signed out at once by the provider's back-channel logout, and by no other's`() async throws {
        let stage = try await CompanyStage()
        try await stage.login()
        let token = try await stage.daypass(["token"])
        func logout(_ changed: [(String, String)]) async throws -> HTTPAnswer {
            let type = ("Content-Type", "application/x-www-form-urlencoded")
            let made = try await stage.broker.send(
                .POST, "\(stage.issuer)/logout-token", [type], body: RunningBroker.form(changed))
            try #require(made.status == 200, "\(made.body)")
            return try await stage.broker.send(
                .POST, "\(stage.origin)/oauth/backchannel-logout", [type],
                body: RunningBroker.form([("logout_token", made.body)]))
        }
        for changed in [("aud", "another"), ("iss", "https://other.example.com"), ("nonce", "n"), ("events", "none")] {
            let answer = try await logout([changed])
            #expect(answer.status == 400, "\(changed): \(answer.status) \(answer.body)")
        }
        #expect(try await logout([("sub", "bob")]).status == 200)
        #expect(try await stage.isGood(token.output))
        #expect(try await logout([]).status == 200)
        #expect(try await !stage.isGood(token.output))
        let refused = try await stage.anew()
        #expect(refused.status == 77 && refused.error.contains("has ended"), "\(refused)")
    }

    @Test func `is signed out at the end of max_session, however often tokens were renewed`() async throws {
        let stage = try await CompanyStage(life: "ttl: 3s, max_session: 15s")
        try await stage.login()
        let token = try await stage.daypass(["token"])
        #expect(token.status == 0, "\(token)")
        var last = try await stage.anew()
        try await waitUntil("the session is over") {
            last = try await stage.anew()
            return last.status != 0
        }
        #expect(last.status == 77 && last.error.contains("has ended"), "\(last)")
    }

    @Test func `signs out, and nothing that was theirs gets another token`() async throws {
        let stage = try await CompanyStage()
        try await stage.login()
        let token = try await stage.daypass(["token"])
        let folder = stage.workspace.path("home/.local/state/daypass")
        let name = try #require(
            FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasSuffix(".login") })
        let kept = try Data(contentsOf: URL(filePath: "\(folder)/\(name)"))
        let out = try await stage.daypass(["logout"])
        #expect(out.status == 0 && out.output.contains("signed out alice@example.com"), "\(out)")
        #expect(try await !stage.isGood(token.output))
        #expect(try await stage.daypass(["token"]).status == 77)
        // Whoever has copied the file has nothing.
        try kept.write(to: URL(filePath: "\(folder)/\(name)"))
        chmod("\(folder)/\(name)", 0o600)
        let stolen = try await stage.daypass(["token"])
        #expect(stolen.status == 77 && stolen.output == "", "\(stolen)")
    }

    @Test func `is not signed in where they refuse the device themselves`() async throws {
        let stage = try await CompanyStage()
        let (login, code) = try await stage.begin()
        let page = try await stage.approve(code, "--refuse")
        #expect(page.hasPrefix("200\n"), "\(page)")
        let outcome = try await login.outcome()
        #expect(outcome.status == 77 && outcome.error.contains("denied"), "\(outcome)")
        #expect(outcome.error.contains("the device was refused on the page"), "\(outcome)")
        // What they pass on is what the administrator's command knows.
        let trace = try #require(outcome.error.firstMatch(of: /trace ([0-9a-f]{32})/))
        let explained = try await stage.administer("explain", String(trace.1))
        #expect(explained.status == 0 && explained.output.contains("a person refused the device"), "\(explained)")
        #expect(try await stage.daypass(["token"]).status == 77)
    }

    @Test func `is told to begin again where the broker has forgotten the code, and is signed in yet where it has not`()
        async throws
    {
        let first = try await CompanyStage()
        try await first.login()
        let before = try await first.daypass(["token"])
        let (login, code) = try await first.begin()
        // Killed: nothing is lost of those who are signed in, and all of those who only begin.
        let stage = try await first.restarted()
        let outcome = try await login.outcome()
        #expect(outcome.status == 77 && outcome.error.contains("`daypass login` makes another"), "\(outcome)")
        let person = try await stage.person(code)
        #expect(person.status == 1 && person.error.contains("No device waits with that code"), "\(person)")
        #expect(try await stage.isGood(before.output))
        #expect(try await stage.anew().status == 0)
    }

    @Test func `is renewed once, however many processes want a token at the same moment`() async throws {
        let stage = try await CompanyStage()
        try await stage.login()
        let all = try (0..<50).map { _ in try stage.start(["token"]) }
        var printed: Set<String> = []
        for process in all {
            let outcome = try await process.outcome()
            #expect(outcome.status == 0, "\(outcome)")
            printed.insert(outcome.output)
        }
        #expect(printed.count == 1)
        #expect(try await stage.renewals() == 1)
        #expect(try await stage.anew().status == 0)
        #expect(try await stage.renewals() == 2)
    }
}

import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// Sessions of people at a real daypassd, whatever happens to it and to them.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `A session that somebody signed in to` {
    @Test func `is listed, shown and ended by an administrator, and is dead at once`() async throws {
        let stage = try await StoredSignIn(["ada", "bob"])
        let (ada, bob) = (stage.tokens[0], stage.tokens[1])
        _ = try await stage.broker.exchange(
            stage.issuer.token(
                stage.issuer.claims(subject: "job", at: Date())
                    .merging(["repository_id": "123456", "ref": "refs/heads/main"])))
        let list = try await stage.daypass("sessions", "list", "--signed-in")
        #expect(list.status == 0 && list.error == "", "\(list)")
        let lines = list.output.split(separator: "\n")
        #expect(lines.count == 3 && lines[0].hasPrefix("SESSION "), "\(list.output)")
        for text in [ada.session, "ada@example.com", "github:ada", "ada's laptop", "daypass", "ci-main", " no"] {
            #expect(lines[2].contains(text), "\(text): \(lines[2])")
        }
        let found = try await stage.daypass("sessions", "list", "--email", "ada@example.com", "--json")
        let sessions = try JSONReader.readObject(Array(found.output.utf8))["sessions"]?.array
        #expect(sessions?.count == 1)
        #expect(sessions?.first?.object?["sign_in"]?.object?["email"] == "ada@example.com")
        #expect(try await stage.daypass("sessions", "list", "--email", "nobody@example.com").error == "none\n")
        #expect(try await stage.daypass("sessions", "list", "--email", "").status == 2)

        let shown = try await stage.daypass("sessions", "show", ada.session)
        for text in ["email", "ada@example.com", "anthropic:messages anthropic:count_tokens", "renewals", "token "] {
            #expect(shown.output.contains(text), "\(text): \(shown.output)")
        }
        #expect(!list.output.contains(ada.refresh) && !shown.output.contains(ada.refresh))

        let asked = try await stage.daypass("sessions", "end", ada.session)
        #expect(asked.status != 0, "nobody has said yes")
        #expect(try await stage.isGood(ada.access))
        let ended = try await stage.daypass("sessions", "end", ada.session, "--reason", "a lost laptop", "--yes")
        #expect(ended.status == 0, "\(ended)")
        let states = (try await stage.isGood(ada.access), try await stage.isGood(bob.access))
        #expect(states == (false, true))
        let refused = try await stage.refresh(ada.refresh)
        #expect(refused.status == 401 && refused.text("error") == "invalid_grant")
        #expect(try await stage.refresh(bob.refresh).status == 200)
        let audit = try await stage.daypass("audit", "search", "--kind", "revocation.made", "--json")
        #expect(audit.output.contains("a lost laptop") && audit.output.contains(#""by" : "socket""#), "\(audit)")
        let after = try await stage.daypass("sessions", "list", "--email", "ada@example.com")
        #expect(after.output.contains(ada.session) && after.output.contains("yes"), "listed as revoked until its end")
    }

    @Test func `fifty who refresh at once get the same successor, from one rotation`() async throws {
        let stage = try await StoredSignIn()
        let token = stage.tokens[0].refresh
        let answers = try await withThrowingTaskGroup(of: HTTPAnswer.self) { group in
            for _ in 0..<50 { group.addTask { try await stage.refresh(token) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.allSatisfy { $0.status == 200 }, "\(answers.map(\.status))")
        #expect(Set(answers.map { $0.text("refresh_token") }).count == 1)
        let session = try await stage.daypass("sessions", "show", stage.tokens[0].session, "--json")
        let signIn = try JSONReader.readObject(Array(session.output.utf8))["sign_in"]?.object
        #expect(signIn?["renewals"] == 1, "\(session)")
        // The successor's own use makes the first one a stolen one.
        let next = try #require(answers[0].text("refresh_token"))
        let last = try await stage.refresh(next)
        #expect(last.status == 200)
        #expect(try await stage.refresh(token).status == 401)
        #expect(try await stage.refresh(try #require(last.text("refresh_token"))).status == 401)
        #expect(try await !stage.isGood(try #require(last.text("access_token"))))
    }

    @Test func `is renewed by its refresh token alone, and the gateway token says so`() async throws {
        let stage = try await StoredSignIn()
        let token = stage.tokens[0].access
        let type = "urn:ietf:params:oauth:token-type:access_token"
        let renewed = try await stage.token([
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", token),
            ("subject_token_type", type),
        ])
        #expect(renewed.status == 400 && renewed.text("error") == "invalid_request", "\(renewed.body)")
        let words = try #require(renewed.text("error_description"))
        #expect(words.contains("its refresh token renews it") && words.contains("daypass login"))
        let audit = try await stage.daypass("audit", "search", "--kind", "exchange.refused", "--json")
        #expect(audit.output.contains(#""reason" : "signed_in""#), "\(audit)")
        #expect(try await stage.isGood(token))
        #expect(try await stage.refresh(stage.tokens[0].refresh).status == 200)
    }

    /// Killed at random moments while a client refreshes: it keeps the token that it had until an answer has come.
    @Test func `a kill between rotation and answer signs nobody out, and the lost answer is given again`() async throws
    {
        var stage = try await StoredSignIn()
        var token = stage.tokens[0].refresh
        let lostAnswer = try await stage.refresh(token)
        stage = try await stage.killed()
        let givenAgain = try await stage.refresh(token)
        #expect(givenAgain.status == 200, "\(givenAgain.body)")
        #expect(givenAgain.text("refresh_token") == lostAnswer.text("refresh_token"))

        token = try #require(givenAgain.text("refresh_token"))
        var (lost, kills) = (0, 0)
        while kills < 6 {
            let (running, shown) = (stage, token)
            async let answer = try? await running.refresh(shown)
            for _ in 0..<Int.random(in: 0...40_000) { await Task.yield() }
            stage.broker.process.signal(SIGKILL)
            let received = await answer
            _ = try await stage.broker.process.outcome()
            kills += 1
            if let next = received?.text("refresh_token") { token = next } else { lost += 1 }
            stage = try await stage.restarted()
            // Within 30 s: the one that was shown, or the one that came.
            let again = try await stage.refresh(token)
            try #require(again.status == 200, "kill \(kills): \(again.body)")
            token = try #require(again.text("refresh_token"))
        }
        #expect(try await stage.refresh(token).status == 200, "\(lost) answers were lost")
    }

    @Test func `outlives a change of the master key, with rewrap, and the old key opens nothing of it`() async throws {
        let stage = try await StoredSignIn()
        let workspace = stage.broker.workspace
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()
        let new = workspace.path("data/master.key.new")
        let done = try await RunningProcess(
            Programs.daypassd,
            ["rewrap", "--config", workspace.path("daypass.yaml"), "--new-master-key-file", new]
        ).outcome()
        // Two signing keys, one key for checkpoints, and the sign-in.
        #expect(done.status == 0 && done.output.contains("seals all 4 secrets: 4 anew, 0 before"), "\(done)")
        try #require(rename(new, workspace.path("data/master.key")) == 0)
        let after = try await stage.restarted()
        let answer = try await after.refresh(stage.tokens[0].refresh)
        #expect(answer.status == 200, "\(answer.body)")
        let audit = try await after.daypass("audit", "search", "--kind", "secret.resealed", "--json")
        #expect(audit.output.contains(#""table" : "sign_ins""#), "\(audit)")
    }

    @Test func `ends when the identity provider says so, also after a kill of the broker`() async throws {
        let stage = try await StoredSignIn(["ada", "bob"])
        let (ada, bob) = (stage.tokens[0], stage.tokens[1])
        let claims = stage.issuer.claims(subject: "ada", at: Date()).merging([
            "jti": "1", "events": ["http://schemas.openid.net/event/backchannel-logout": [:]],
        ])
        let form = StoredSignIn.form([("logout_token", try stage.issuer.token(claims))])
        let wrong = StoredSignIn.form([("logout_token", try stage.issuer.token(claims.merging(["nonce": "n"])))])
        let type = [("Content-Type", "application/x-www-form-urlencoded")]
        let refused = try await stage.send(.POST, "/oauth/backchannel-logout", type, body: wrong)
        let trace = try #require(refused.headers.first(name: "Daypass-Trace-Id"))
        let explained = try await stage.daypass("explain", trace)
        #expect(refused.status == 400 && explained.output.contains("it has a nonce"), "\(explained)")
        #expect(try await stage.isGood(ada.access))
        let answer = try await stage.send(.POST, "/oauth/backchannel-logout", type, body: form)
        #expect(answer.status == 200 && answer.body.isEmpty, "\(answer.body)")
        #expect(try await !stage.isGood(ada.access))
        #expect(try await stage.isGood(bob.access))
        let after = try await stage.killed()
        #expect(try await after.refresh(ada.refresh).status == 401)
        #expect(try await !after.isGood(ada.access))
        #expect(try await after.refresh(bob.refresh).status == 200)
        let audit = try await after.daypass("audit", "search", "--kind", "revocation.made", "--json")
        #expect(audit.output.contains("logout at the identity provider"), "\(audit)")
    }
}

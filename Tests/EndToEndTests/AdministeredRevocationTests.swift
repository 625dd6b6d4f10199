import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Revoking with the command` {
    @Test func `ends what it names at once, says so beforehand, and names who did it`() async throws {
        let stage = try await AdministeredGrants()
        for kind in ["token", "session", "subject", "rule", "issuer", "all"] {
            let (token, docs) = (try await stage.token(), try await stage.token("writer", ref: "refs/heads/docs"))
            let parent = try await stage.token()
            let session = try await stage.lastSession()
            let child = try await stage.renewed(parent, ["scope": "anthropic:messages"])
            let narrowed = try #require(child.text("access_token"), "\(child.body)")
            let value = [
                "token": parent, "session": session, "subject": "github:job", "rule": "ci-main", "issuer": "github",
            ][kind]
            let arguments = ["revoke", kind] + (value.map { [$0] } ?? [])

            let dry = try await stage.daypass(arguments + ["--dry-run", "--json"])
            let preview = try JSONReader.readObject(Array(dry.output.utf8))
            // Of this round three of main and one of docs, of each round before one at least that was left alone.
            let count = try #require(preview["session_count"]?.number)
            let isExpected =
                switch kind {
                case "token": count == 0
                case "session": count == 2
                default: count >= (["subject", "rule"].contains(kind) ? 3 : 4)
                }
            #expect(isExpected, "\(kind): \(dry.output)")
            #expect(try await stage.isGood(parent), "\(kind)")
            let unasked = try await stage.daypass(arguments)
            #expect(unasked.status != 0, "without a terminal nobody was asked")
            #expect(try await stage.isGood(parent), "\(kind)")

            let revoked = try await stage.daypass(arguments + ["--yes", "--wait", "--reason", "why \(kind)"])
            #expect(revoked.status == 0, "\(kind): \(revoked.error)")
            #expect(try await stage.isGood(parent) == false, "\(kind)")
            let renewal = try await stage.renewed(parent)
            #expect(renewal.status == 400, "\(kind): \(renewal.body)")
            // Of one token its session stays, and what descends from that.
            #expect(try await stage.isGood(narrowed) == (kind == "token"), "\(kind)")
            #expect(try await stage.renewed(narrowed).status == (kind == "token" ? 200 : 400), "\(kind)")
            #expect(try await stage.isGood(token) == ["token", "session"].contains(kind), "\(kind)")
            #expect(try await stage.isGood(docs) == !["issuer", "all"].contains(kind), "\(kind)")
            #expect(try await stage.isGood(try await stage.token()), "\(kind): nobody is kept out")
        }
        let records = try await stage.audited("revocation.made")
        #expect(records.count == 6)
        for record in records {
            let caller = record["caller"]?.object
            #expect(caller?["by"] == "socket" && caller?["uid"]?.number == Double(getuid()), "\(record)")
            #expect(record["reason"]?.string?.string.hasPrefix("why ") == true)
        }
        let kinds = try await stage.json("revocations")["revocations"]?.array?.compactMap { $0.object?["kind"]?.string }
        #expect(kinds == ["all", "issuer", "rule", "subject", "session", "token"])
        // Page by page they are the same.
        let first = try await stage.json("revocations", "--limit", "4")
        #expect(first["revocations"]?.array?.count == 4 && first["complete"] == false)
    }

    @Test func `with --block lets nobody in again until its end, or until it is lifted`() async throws {
        let stage = try await AdministeredGrants()
        for (kind, value) in [("subject", "github:job"), ("rule", "ci-main"), ("issuer", "github")] {
            let token = try await stage.token()
            try await stage.done("revoke", kind, value, "--block", "--yes")
            #expect(try await stage.isGood(token) == false)
            let refused = try await stage.exchange()
            #expect(refused.status == 400, "\(kind): \(refused.body)")
            let others = try await stage.exchange("writer", ref: "refs/heads/docs")
            #expect(others.status == (kind == "issuer" ? 400 : 200), "\(kind): \(others.body)")
            // A shorter one does not take its place.
            let shorter = try await stage.daypass(["revoke", kind, value, "--block", "--until", "1s", "--yes"])
            #expect(shorter.status == 0 && shorter.error.contains("a block that holds longer"), "\(shorter.error)")
            let dry = try await stage.daypass(["revoke", kind, value, "--dry-run"])
            #expect(dry.error.contains("blocked now: without end"), "\(dry.error)")
            try await Self.pass(seconds: 1.2)
            #expect(try await stage.exchange().status == 400, "\(kind)")
            try await stage.done("unblock", kind, value, "--reason", "back", "--yes")
            #expect(try await stage.exchange().status == 200, "\(kind)")
            try await stage.done("revoke", kind, value, "--block", "--until", "2s", "--yes")
            #expect(try await stage.exchange().status == 400, "\(kind)")
            try await waitUntil("the block of \(kind) ends") { try await stage.exchange().status == 200 }
        }
        let records = try await stage.audited("block.lifted")
        #expect(records.map { $0["kind"] } == ["subject", "rule", "issuer"])
        for record in records {
            #expect(record["before"] == ["block": [:]] && record["after"] == ["block": .null], "\(record)")
            #expect(record["caller"]?.object?["by"] == "socket" && record["reason"] == "back")
        }
    }

    private static func pass(seconds: Double) async throws {
        let end = Date(timeIntervalSinceNow: seconds)
        try await waitUntil("the time is over") { Date() > end }
    }

    @Test func `all with --block keeps everybody out, also after a restart, until the socket lifts it`() async throws {
        let stage = try await AdministeredGrants()
        let token = try await stage.token()
        let dry = try await stage.daypass(["revoke", "all", "--block", "--dry-run"])
        #expect(dry.error.contains("only the Unix socket"), "\(dry.error)")
        let made = try await stage.daypass(["revoke", "all", "--block", "--yes"])
        #expect(made.status == 0 && made.error.contains("only the Unix socket"), "\(made.error)")
        #expect(try await stage.isGood(token) == false)
        #expect(try await stage.exchange().status == 400)
        stage.broker.process.signal(SIGKILL)
        _ = try await stage.broker.process.outcome()
        let again = try await RunningBroker(restarting: stage.broker)
        try await waitUntil("daypassd is administered") { again.process.error.contains(#""listener":"admin""#) }
        let proof = stage.issuer.claims(subject: "job", at: Date()).merging([
            "repository_id": "123456", "ref": "refs/heads/main",
        ])
        let subject = try stage.issuer.token(proof)
        #expect(try await again.exchange(subject).status == 400)
        try await stage.done("unblock", "all", "--yes")
        #expect(try await again.exchange(subject).status == 200)
        #expect(try await stage.isGood(token) == false, "what was revoked came back")
    }

    @Test func `warns of names that nothing has, and revokes them all the same`() async throws {
        let stage = try await AdministeredGrants()
        _ = try await stage.token()
        let expected = [
            (["rule", "gone"], "no rule of this name is configured"),
            (["issuer", "gone"], "no issuer or trust domain of this name"),
            (["subject", "github:nobody"], "0 live sessions match"), (["session", "nothing"], "no session of this id"),
        ]
        for (arguments, warning) in expected {
            // On a busy machine the look-up for a warning may take longer than an answer waits for it.
            try await waitUntil("\(arguments) is warned of") {
                let made = try await stage.daypass(["revoke"] + arguments + ["--yes"])
                #expect(made.status == 0, "\(made.error)")
                return made.error.contains("warning: \(warning)")
            }
        }
        let known = try await stage.daypass(["revoke", "subject", "github:job", "--yes"])
        #expect(known.status == 0 && !known.error.contains("warning"), "\(known.error)")
        let key = try await stage.daypass(["keys", "revoke", "nothing", "--dry-run"])
        #expect(key.status == 1 && key.error.contains("there is no signing key nothing"), "\(key.error)")
    }

    @Test func `--where says whose sessions do not keep the claim`() async throws {
        let stage = try await AdministeredGrants(keeping: "matched")
        _ = try await stage.token("1", ["email": "ada@example.com"])
        let condition = ["revoke", "session", "--where", "email=ada@example.com", "--yes", "--json"]
        let revoked = try await stage.daypass(condition)
        #expect(revoked.status == 1, "\(revoked.output)")
        #expect(revoked.error.contains("sessions of github do not keep the claim email"), "\(revoked.error)")
        let json = try JSONReader.readObject(Array(revoked.output.utf8))
        #expect(json["issuers_without_claim"] == ["github"] && json["revocations"] == [])
    }

    @Test func `--where ends the sessions with a claim, and no other`() async throws {
        let stage = try await AdministeredGrants()
        let ada = try await stage.token("1", ["email": "ada@example.com"])
        let also = try await stage.token("2", ref: "refs/heads/docs", ["email": ["x@example.com", "ada@example.com"]])
        let eve = try await stage.token("3", ["email": "eve@example.com"])
        let condition = ["revoke", "session", "--where", "email=ada@example.com"]
        let dry = try await stage.daypass(condition + ["--dry-run"])
        #expect(dry.error.contains("would end 2 live sessions"), "\(dry.error)")
        let revoked = try await stage.daypass(condition + ["--yes"])
        #expect(revoked.status == 0 && revoked.output.split(separator: "\n").count == 3, "\(revoked.output)")
        #expect(try await stage.isGood(ada) == false)
        #expect(try await stage.isGood(also) == false)
        #expect(try await stage.isGood(eve))
        // They are over, and so there is nobody left.
        #expect(try await stage.daypass(condition + ["--yes"]).status == 1)
        let impossible = try await stage.daypass(["revoke", "session", "--where", "/~=x", "--yes"])
        #expect(impossible.status == 1 && impossible.error.contains("is no claim's name"), "\(impossible.error)")
        let issuer = try await stage.daypass(["revoke", "issuer", "No Such", "--yes"])
        #expect(issuer.status == 1 && issuer.error.contains("nothing that can be revoked"), "\(issuer.error)")
    }
}

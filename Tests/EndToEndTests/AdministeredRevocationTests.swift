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

    @Test func `with --block lets nobody in again until its end`() async throws {
        let stage = try await AdministeredGrants()
        for (kind, value) in [("subject", "github:job"), ("rule", "ci-main"), ("issuer", "github")] {
            let token = try await stage.token()
            try await stage.done("revoke", kind, value, "--block", "--yes")
            #expect(try await stage.isGood(token) == false)
            let refused = try await stage.exchange()
            #expect(refused.status == 400, "\(kind): \(refused.body)")
            let others = try await stage.exchange("writer", ref: "refs/heads/docs")
            #expect(others.status == (kind == "issuer" ? 400 : 200), "\(kind): \(others.body)")
            // A later one takes its place.
            try await stage.done("revoke", kind, value, "--block", "--until", "4s", "--yes")
            try await waitUntil("the block of \(kind) ends") { try await stage.exchange().status == 200 }
        }
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

import BrokerTesting
import Foundation
import JOSE
import Testing

/// `daypass rules reload` against the real broker.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `A reload that an administrator asks for` {
    private func text(_ grants: AdministeredGrants) throws -> String {
        try String(contentsOfFile: grants.broker.workspace.path("daypass.yaml"), encoding: .utf8)
    }

    @Test func `is shown with --dry-run, which changes nothing, and then done by its caller`() async throws {
        let grants = try await AdministeredGrants()
        let changed = try text(grants).replacing("name: docs", with: "name: papers")
        try grants.broker.workspace.write("daypass.yaml", changed)
        let rehearsal = try await grants.json("rules", "reload", "--dry-run")
        #expect(rehearsal["rules"]?.object?["added"] == ["papers"])
        let granted = try await grants.token(ref: "refs/heads/docs")
        #expect(try TokenSegments(granted).claims["rule"] == "docs")
        #expect(try await grants.audited("configuration.reloaded").isEmpty)
        let done = try await grants.json("rules", "reload")
        #expect(done == rehearsal)
        let record = try #require(try await grants.audited("configuration.reloaded").first)
        #expect(record["caller"]?.object?["uid"]?.number == Double(getuid()), "\(record)")
    }

    @Test func `is refused with every error in a rehearsal too, and recorded only when it was meant`() async throws {
        let grants = try await AdministeredGrants()
        let good = try text(grants)
        for (old, new, words) in [
            ("name: docs", "name: [", "daypass.yaml:"),
            ("issuer: https://issuer.example.com", "issuer: https://other.example.com", "stands for the issuer"),
        ] {
            try grants.broker.workspace.write("daypass.yaml", good.replacing(old, with: new))
            for arguments in [["rules", "reload", "--dry-run"], ["rules", "reload"]] {
                let outcome = try await grants.daypass(arguments)
                #expect(outcome.status == 1 && outcome.error.contains(words), "\(outcome.error)")
            }
        }
        let records = try await grants.audited("configuration.refused")
        #expect(records.count == 2, "\(records)")
        for (record, words) in zip(records, ["daypass.yaml:", "stands for the issuer"]) {
            #expect(record["caller"]?.object?["uid"]?.number == Double(getuid()), "\(record)")
            #expect(record["errors"]?.string?.string.contains(words) == true, "\(record)")
        }
    }

    @Test func `warns of a block whose rule goes by another name, before, when and after it is renamed`() async throws {
        let grants = try await AdministeredGrants()
        try await grants.done("revoke", "rule", "docs", "--block", "--yes")
        #expect(try await grants.exchange(ref: "refs/heads/docs").status == 400)
        let renamed = try text(grants).replacing("name: docs", with: "name: papers")
        try grants.broker.workspace.write("daypass.yaml", renamed)
        let words = "the rule docs is blocked (revocation 1) and is not configured"
        for arguments in [["rules", "reload", "--dry-run"], ["rules", "reload"], ["rules", "reload"]] {
            let outcome = try await grants.daypass(arguments)
            #expect(outcome.status == 0 && outcome.error.contains("warning: \(words)"), "\(outcome.error)")
        }
        #expect(try await grants.exchange(ref: "refs/heads/docs").status == 200)
        grants.broker.process.signal(SIGTERM)
        _ = try await grants.broker.process.outcome()
        let again = try await RunningBroker(restarting: grants.broker)
        #expect(again.process.error.contains(words), "\(again.process.error)")
    }
}

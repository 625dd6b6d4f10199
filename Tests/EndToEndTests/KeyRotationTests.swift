import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging
import OpenSSL
import Testing

@Suite struct `Signing keys from outside` {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func initialised() async throws -> Workspace {
        let workspace = try Workspace()
        let made = try await RunningProcess(Programs.daypassd, ["init"], in: workspace.folder).outcome()
        try #require(made.status == 0, "\(made.error)")
        return workspace
    }

    /// The keys and the kinds of the audit records.
    private func contents(of workspace: Workspace) async throws -> [SigningKeyRecord] {
        let store = try SQLiteStore(path: workspace.path("config/data/daypass.db"), logger: logger)
        let keys = try await store.signingKeys()
        await store.close()
        return keys
    }

    private func masterKey(_ workspace: Workspace, _ name: String = "config/data/master.key") throws -> MasterKey {
        var bytes = Array(try Data(contentsOf: URL(filePath: workspace.path(name))))
        return try MasterKey(file: SecretBytes(moving: &bytes))
    }

    /// `DAYPASS_KILLS` says how often; 5 times where it does not.
    @Test(.timeLimit(.minutes(10)))
    func `a kill at any moment of a rotation leaves one active key and loses no change that was acknowledged`()
        async throws
    {
        let workspace = try await initialised()
        let masterKey = try masterKey(workspace)
        let kills = ProcessInfo.processInfo.environment["DAYPASS_KILLS"].flatMap { Int($0) } ?? 5
        let (file, archive) = (workspace.path("audit.jsonl"), workspace.path("archive"))
        var acknowledged = 0
        for kill in 0..<kills {
            let loop = try RunningProcess(
                Programs.rotationLoop,
                [workspace.path("config/data/daypass.db"), workspace.path("config/data/master.key"), file, archive])
            let lines = Int.random(in: 1...12)
            try await waitUntil("the loop has made \(lines) changes") {
                try #require(loop.isRunning, "\(loop.error)")
                return loop.output.split(separator: "\n").count >= lines
            }
            // Somewhere within the next change: how far it is by then is left to chance.
            for _ in 0..<Int.random(in: 0...3000) { await Task.yield() }
            loop.signal(SIGKILL)
            let said = try await loop.outcome().output.split(separator: "\n").map(String.init)
            acknowledged += said.count
            let keys = try await contents(of: workspace)
            let states = Dictionary(uniqueKeysWithValues: keys.map { ($0.keyID.string, $0.state) })
            let comment: Comment = "kill \(kill) after \(said.count) changes"
            #expect(keys.count { $0.state == .active } == 1, comment)
            #expect(keys.count { $0.state == .staged } == 1, comment)
            for line in said {
                let words = line.split(separator: " ").map(String.init)
                try #require(words.count == 2, "\(line)")
                if words[0] == "revoked" {
                    #expect(states[words[1]] == .compromised, comment)
                } else {
                    #expect(states[words[1]] != .staged && states[words[1]] != nil, comment)
                }
            }
            // One more may have been made than was said.
            let lastActive = said.last { $0.hasPrefix("active ") }?.dropFirst(7)
            if let lastActive, said.last?.hasPrefix("active ") == true {
                #expect([.active, .retiring, .compromised].contains(states[String(lastActive)]), comment)
            }
            _ = try KeyRing(opening: keys, with: masterKey)
            try await expectIntact(workspace, masterKey, file, archive, comment)
        }
        let store = try SQLiteStore(path: workspace.path("config/data/daypass.db"), logger: logger)
        let keys = try await store.signingKeys()
        await store.close()
        // Each change made one key, and at most one was killed before it was said.
        #expect(keys.count - 2 <= acknowledged + kills)
    }

    /// That the chain of what the store has verifies, and that the archives and the store have every record that there ever
    /// was, and the file nothing else.
    private func expectIntact(
        _ workspace: Workspace, _ masterKey: MasterKey, _ file: String, _ archive: String, _ comment: Comment
    ) async throws {
        let store = try SQLiteStore(path: workspace.path("config/data/daypass.db"), logger: logger)
        let keys = try CheckpointKeys(opening: await store.checkpointKeys(), with: masterKey)
        if let keys { store.sign(with: keys) }
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding == nil, comment)
        let marks = try await store.auditMarks(after: 0, limit: .max)
        try await store.writeAuditFile(file)
        await store.close()
        var known = Dictionary(uniqueKeysWithValues: marks.map { ($0.sequence, $0.hash) })
        for name in (try? FileManager.default.contentsOfDirectory(atPath: archive)) ?? []
        where name.hasSuffix(".jsonl") {
            for record in try records(in: archive + "/" + name) {
                #expect(known[record.sequence] == nil || known[record.sequence] == record.hash, comment)
                known[record.sequence] = record.hash
            }
        }
        #expect(known.count == known.keys.max().map(Int.init), comment)
        var written: Set<Int64> = []
        for record in try records(in: file) {
            #expect(known[record.sequence] == record.hash, comment)
            written.insert(record.sequence)
        }
        #expect(written.count == known.count, comment)
    }

    private func records(in file: String) throws -> [AuditRecord] {
        try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").compactMap { line in
            let object = try JSONReader.readObject(Array(line.utf8), depth: AuditLine.maximumDepth)
            return Checkpoint(object) == nil ? try AuditLine.record(of: object) : nil
        }
    }

    @Test func `rewrap seals everything under a new key, and the daemon serves with it and refuses the old one`()
        async throws
    {
        let workspace = try await initialised()
        let new = workspace.path("config/data/master.key.new")
        let old = try masterKey(workspace)
        let before = try await contents(of: workspace)
        let done = try await RunningProcess(
            Programs.daypassd, ["rewrap", "--new-master-key-file", new], in: workspace.folder
        ).outcome()
        #expect(done.status == 0, "\(done.error)")
        let key = try masterKey(workspace, "config/data/master.key.new")
        #expect(done.output.contains("made the master key \(key.id) in \(new) (0600)"))
        #expect(done.output.contains("master key \(key.id) seals all 2 secrets: 2 anew, 0 before"))
        #expect(done.output.contains("mv \(new) "))
        #expect(try FileManager.default.attributesOfItem(atPath: new)[.posixPermissions] as? Int == 0o600)
        let after = try await contents(of: workspace)
        #expect(try KeyRing(opening: after, with: key).active.jwk.keyID == before.first?.keyID)
        #expect(throws: KeyRingFailure.self) { try KeyRing(opening: after, with: old) }

        let refused = try await RunningProcess(Programs.daypassd, ["serve"], in: workspace.folder).outcome()
        #expect(refused.status == 1)
        #expect(
            refused.error.contains("was sealed with master key \(key.id), and the master key file holds \(old.id)"),
            "\(refused.error)")
        // The old file is still there, and a second run has nothing to do.
        let again = try await RunningProcess(
            Programs.daypassd, ["rewrap", "--new-master-key-file", new], in: workspace.folder
        ).outcome()
        #expect(again.status == 0, "\(again.error)")
        #expect(again.output.contains("seals all 2 secrets: 0 anew, 2 before"))

        try #require(rename(new, workspace.path("config/data/master.key")) == 0)
        let kept = try await RunningProcess(Programs.daypassd, ["init"], in: workspace.folder).outcome()
        #expect(kept.status == 0 && kept.output.contains("kept the master key \(key.id)"), "\(kept.error)")
    }

    @Test func `rewrap refuses a store that is in use, a key that is the same, and a damaged row`() async throws {
        let workspace = try await initialised()
        let arguments = ["rewrap", "--new-master-key-file"]
        let store = try SQLiteStore(path: workspace.path("config/data/daypass.db"), logger: logger)
        let inUse = try await RunningProcess(
            Programs.daypassd, arguments + ["config/data/new.key"], in: workspace.folder
        ).outcome()
        await store.close()
        #expect(inUse.status == 1 && inUse.error.contains("another daypassd has "), "\(inUse.error)")
        #expect(!FileManager.default.fileExists(atPath: workspace.path("config/data/new.key")))

        let same = try await RunningProcess(
            Programs.daypassd, arguments + ["config/data/master.key"], in: workspace.folder
        ).outcome()
        #expect(same.status == 1 && same.error.contains("holds the same master key as"), "\(same.error)")

        let python = try #require(Programs.python)
        let script =
            "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);"
            + "c.execute(\"update signing_keys set sealed = x'00' where state = 'staged'\");c.commit()"
        let damaged = try await RunningProcess(python, ["-c", script, workspace.path("config/data/daypass.db")])
            .outcome()
        #expect(damaged.status == 0, "\(damaged.error)")
        let refused = try await RunningProcess(
            Programs.daypassd, arguments + ["config/data/new.key"], in: workspace.folder
        ).outcome()
        #expect(refused.status == 1 && refused.error.contains("does not open: its row was altered or damaged"))
        #expect(try await contents(of: workspace).first?.masterKeyID == masterKey(workspace).id)
    }
}

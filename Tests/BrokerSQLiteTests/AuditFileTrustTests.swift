import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `The audit file where somebody else writes to the store` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private var path: String { folder.path + "/audit.jsonl" }

    private func open(_ opening: SQLiteStore.Opening = .existing) async throws -> SQLiteStore {
        let store = try folder.open(opening)
        try await store.writeAuditFile(path)
        return store
    }

    private func alter(_ sql: String) async throws {
        try await folder.connect().writeWithoutTransaction { try $0.execute(sql: sql) }
    }

    /// The numbers of the records in the file, and of the checkpoints, below zero. Each line has to be one of the two.
    private func numbers() throws -> [Int64] {
        try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { line in
            let object = try JSONReader.readObject(Array(line.utf8), depth: AuditLine.maximumDepth)
            if let checkpoint = Checkpoint(object) { return -checkpoint.number }
            return Int64(try #require(object["sequence"]?.number))
        }
    }

    /// Records 1 to 3 with checkpoint 1, and 4 with checkpoint 2.
    private func filled() async throws -> CheckpointKeys {
        let store = try await open(.creating)
        _ = try await StoreConformance.signing(store)
        for _ in 0..<2 { try await store.record(Sample.refusal()) }
        try await store.makeCheckpoint()
        try await store.record(Sample.refusal())
        let keys = try #require(store.commits.trail.keys)
        await store.close()
        #expect(try numbers() == [1, 2, 3, -1, 4, -2])
        return keys
    }

    @Test(
        arguments: [(5, 2), (4, 3), (1_000_000_000_000_000, 1_000_000_000_000_000), (-1, 0), (0, -1)], [0, 1, 2])
    func `is not kept from its records by what the store says that it has`(
        position: (record: Int, checkpoint: Int), file: Int
    ) async throws {
        let keys = try await filled()
        try await alter("INSERT OR REPLACE INTO audit_sink VALUES (1, \(position.record), \(position.checkpoint))")
        if file < 2 { try FileManager.default.removeItem(atPath: path) }
        if file == 1 { try Data().write(to: URL(filePath: path)) }
        let store = try await open()
        #expect(await store.verifyAuditAtStart(with: keys).finding?.kind == .forked)
        let refused = await store.recordAll([Sample.session("a")])
        #expect(refused["a"]?.cause.contains("which there never were") == true, "\(refused)")
        #expect(try folder.number("SELECT count(*) FROM audit") == 4)
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        #expect(await store.recordAll([Sample.session("a")]).isEmpty)
        try await store.makeCheckpoint()
        #expect(try numbers() == [1, 2, 3, -1, 4, -2, 5, -3])
        await store.close()
        #expect(await (try open()).recordAll([Sample.session("b")]).isEmpty)
    }

    @Test func `says itself which checkpoint it has last, whatever the store says`() async throws {
        let keys = try await filled()
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        // Killed before the last checkpoint got into it; and before any did.
        for (kept, whole) in [(Array(0..<5), [1, 2, 3, -1, 4, -2]), ([0, 1, 2], [1, 2, 3, -1, 4, -2])] {
            try Data((kept.map { lines[$0] }.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: path))
            try await alter("INSERT OR REPLACE INTO audit_sink VALUES (1, 4, 2)")
            let store = try await open()
            #expect(await store.verifyAuditAtStart(with: keys).finding == nil)
            #expect(try numbers() == whole.map { Int64($0) })
            await store.close()
        }
    }

    @Test(arguments: [#"{}}\n{"sequence":99999,"details":{}"#, "{}"])
    func `gets no record that the broker did not make, whatever its number`(details: String) async throws {
        let keys = try await filled()
        let store = try await open()
        #expect(await store.verifyAuditAtStart(with: keys).finding == nil)
        let other = try folder.connect()
        func put(_ number: Int64) async throws {
            try await other.writeWithoutTransaction {
                try $0.execute(
                    sql: """
                        INSERT INTO audit (sequence, time, trace, kind, details, hash) VALUES (?, 1, 'a', 'key.staged', ?, ?)
                        """, arguments: [number, details.replacingOccurrences(of: "\\n", with: "\n"), Data([1])])
            }
        }
        try await put(5)
        try await store.record(Sample.refusal())
        #expect(try numbers() == [1, 2, 3, -1, 4, -2, 6])
        // While the file is behind.
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        try await put(7)
        try await store.record([Sample.revocation(1)])
        try await put(1 << 40)
        try FileManager.default.removeItem(atPath: path)
        try await store.reopenAuditFile()
        try await other.writeWithoutTransaction { try $0.execute(sql: "DELETE FROM audit WHERE sequence = 1 << 40") }
        try await store.record(Sample.refusal())
        #expect(try numbers() == [8, 9])
        // What it recorded is in it also where that was taken away before.
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        try await store.record([Sample.revocation(2)])
        try await other.writeWithoutTransaction { try $0.execute(sql: "DELETE FROM audit WHERE sequence = 10") }
        try FileManager.default.removeItem(atPath: path)
        try await store.reopenAuditFile()
        #expect(try numbers() == [10])
        await store.close()
    }

    @Test func `gets no line of somebody else's making from a record that was there before the start`() async throws {
        let keys = try await filled()
        try await alter(
            """
            INSERT INTO audit (time, trace, kind, subject, details, hash) VALUES (1, 'a', 'key.staged', 'x' || char(10), \
            '{}}' || char(10) || '{"sequence":99999,"details":{', x'01')
            """)
        let store = try await open()
        #expect(await store.verifyAuditAtStart(with: keys).finding?.sequence == 5)
        #expect(try numbers() == [1, 2, 3, -1, 4, -2, 5])
        await store.close()
    }

    /// The store as it was at checkpoint 1, and with a later generation; then also with a record of a restoring.
    @Test(arguments: [
        (nil, false), (#"{"to_generation":3}"#, false), (#"{}"#, false), (#"{"to_generation":2}"#, true),
    ])
    func `is taken for that of an earlier generation only where a restoring was recorded`(
        details: String?, isTaken: Bool
    ) async throws {
        _ = try await filled()
        try await alter(
            """
            DELETE FROM audit WHERE sequence > 3; DELETE FROM audit_checkpoints WHERE number > 1;
            UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit';
            UPDATE audit_sink SET sequence = 3, checkpoint = 1; UPDATE store SET generation = 2
            """)
        if let details {
            try await alter(
                "INSERT INTO audit (time, trace, kind, details) VALUES (1, 'a', 'store.restored', '\(details)')")
        }
        let store = try await open()
        #expect(await store.recordAll([Sample.session("a")]).isEmpty == isTaken)
        await store.close()
    }
}

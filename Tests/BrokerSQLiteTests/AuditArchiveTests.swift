import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import OpenSSL
import Testing

@testable import BrokerSQLite

@Suite struct `Archiving audit records` {
    let folder: TemporaryFolder
    private let late = Sample.time.addingTimeInterval(86_401)

    init() throws {
        folder = try TemporaryFolder()
    }

    private var archive: String { folder.path + "/archive" }

    private func order() -> ArchiveOrder {
        ArchiveOrder(to: archive, retention: .seconds(86_400), at: late, trace: TraceID())
    }

    /// Twenty records with a checkpoint behind each ten.
    private func filled() async throws -> SQLiteStore {
        let store = try folder.open()
        _ = try await StoreConformance.signing(store)
        for number in 2...20 {
            let details: JSONObject = ["claims": ["text": "a\nb\u{7F}\u{202E}", "n": .number(-0.5)]]
            let event = Sample.grant(session: "s\(number)", details: details)
            try await store.record(Sample.session("s\(number)"), event)
            if number.isMultiple(of: 10) { try await store.makeCheckpoint() }
        }
        return store
    }

    private func lines(of path: String) throws -> [JSONObject] {
        try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
            try JSONReader.readObject(Array($0.utf8), depth: AuditLine.maximumDepth)
        }
    }

    @Test func `makes files that say all of it, each record's hash following from the line and the one before`()
        async throws
    {
        let store = try await filled()
        let first = try await store.archive(order())
        let path = try #require(first.file)
        #expect(path == archive + "/audit-g1-000000000001-000000000020.jsonl")
        #expect(mode(of: path) == 0o600 && mode(of: archive) == 0o700)
        #expect(try FileManager.default.contentsOfDirectory(atPath: archive).count == 1)
        for number in 21...25 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
        }
        try await store.makeCheckpoint()
        let last = Sample.time.addingTimeInterval(3 * 86_400)
        let second = try await store.archive(
            ArchiveOrder(to: archive, retention: .seconds(86_400), at: last, trace: TraceID()))
        let keys = store.commits.trail.keys
        await store.close()
        let all = try lines(of: path) + lines(of: #require(second.file))
        // 20 records and 2 checkpoints; the checkpoint before, 6 records and a checkpoint.
        #expect(all.count == 30)
        let chain = AuditChain()
        var previous = AuditChain.start
        var checkpoints: [Int64] = []
        for line in all {
            if let checkpoint = Checkpoint(line) {
                #expect(keys?.didSign(checkpoint) == true && checkpoint.hash == previous)
                checkpoints.append(checkpoint.number)
                continue
            }
            let record = try AuditLine.record(of: line)
            let columns = AuditColumns(record.event, details: record.event.details.encoded())
            previous = chain.hash(after: previous, sequence: record.sequence, columns.bytes)
            #expect(record.hash == previous)
            // Of a line as it is written elsewhere.
            #expect(try AuditLine.parse(AuditLine.encode(record)).hash == previous)
        }
        // The one that a file begins behind stands at its beginning.
        #expect(checkpoints == [1, 2, 2, 3])
    }

    @Test func `does nothing where the trail is not intact, and deletes nothing`() async throws {
        let store = try await filled()
        try await folder.connect().writeWithoutTransaction {
            try $0.execute(sql: "UPDATE audit SET subject = 'ci:other' WHERE sequence = 7")
        }
        let failure = await #expect(throws: StoreFailure.self) { try await store.archive(order()) }
        #expect(failure?.code == .unreadable)
        #expect(failure?.cause.hasPrefix("the audit trail is not intact: record 7 is not what was recorded") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: archive).isEmpty)
        #expect(try await store.deleteArchived(limit: 100) == 0)
        #expect(try folder.number("SELECT count(*) FROM audit") == 20)
        await store.close()
    }

    @Test func `takes the file of one that was killed before its record, and never the place of another`() async throws
    {
        let store = try await filled()
        let path = archive + "/audit-g1-000000000001-000000000020.jsonl"
        try FileManager.default.createDirectory(atPath: archive, withIntermediateDirectories: false)
        try Data("mine".utf8).write(to: URL(filePath: path))
        let failure = await #expect(throws: StoreFailure.self) { try await store.archive(order()) }
        #expect(failure?.code == .conflict && failure?.cause.hasSuffix("exists, and has something else in it") == true)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
        try FileManager.default.removeItem(atPath: path)
        try await store.perform("refuse records") {
            try $0.execute(
                sql: """
                    CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.audit WHEN new.kind = 'records.archived'
                    BEGIN SELECT raise(ABORT, 'told to'); END
                    """)
        }
        await #expect(throws: StoreFailure.self) { try await store.archive(order()) }
        #expect(FileManager.default.fileExists(atPath: path))
        #expect(try folder.number("SELECT count(*) FROM audit") == 20)
        #expect(try await store.deleteArchived(limit: 100) == 0)
        try await store.perform("permit records") { try $0.execute(sql: "DROP TRIGGER refuse") }
        #expect(try await store.archive(order()) == ArchiveResult(records: 20, file: path))
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        // What was not deleted yet is not part of the chain any more, and goes.
        #expect(try folder.number("SELECT count(*) FROM audit") == 21)
        #expect(try await store.deleteArchived(limit: 15) == 15)
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        #expect(try await store.deleteArchived(limit: 15) == 5)
        await store.close()
    }

    @Test func `a file whose record was never made stays the only one with its records, whatever became old since`()
        async throws
    {
        let store = try await filled()
        try await store.perform("refuse records") {
            try $0.execute(
                sql: """
                    CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.audit WHEN new.kind = 'records.archived'
                    BEGIN SELECT raise(ABORT, 'told to'); END
                    """)
        }
        let first = ArchiveOrder(
            to: archive, retention: .seconds(86_400), at: late, trace: TraceID(), maximumRecords: 10)
        await #expect(throws: StoreFailure.self) { try await store.archive(first) }
        let path = archive + "/audit-g1-000000000001-000000000010.jsonl"
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: archive) == ["audit-g1-000000000001-000000000010.jsonl"]
        )
        try await store.perform("permit records") { try $0.execute(sql: "DROP TRIGGER refuse") }
        // With a retention that was made longer nothing of it goes.
        let longer = ArchiveOrder(to: archive, retention: .seconds(2 * 86_400), at: late, trace: TraceID())
        #expect(try await store.archive(longer) == ArchiveResult())
        #expect(try await store.archive(order()) == ArchiveResult(records: 10, file: path))
        #expect(try await store.archive(order()).file == archive + "/audit-g1-000000000011-000000000020.jsonl")
        #expect(try await store.deleteArchived(limit: 100) == 20)
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        let numbers = try FileManager.default.contentsOfDirectory(atPath: archive).sorted().flatMap {
            try lines(of: archive + "/" + $0).filter { $0["checkpoint"] == nil }.compactMap { $0["sequence"]?.number }
        }
        #expect(numbers == (1...20).map(Double.init))
        await store.close()
    }

    @Test(arguments: ["000000000015", "9223372036854775807"])
    func `beside a file that ends where the store has no checkpoint nothing is archived`(end: String) async throws {
        let store = try await filled()
        try FileManager.default.createDirectory(atPath: archive, withIntermediateDirectories: false)
        let path = archive + "/audit-g1-000000000001-\(end).jsonl"
        try Data().write(to: URL(filePath: path))
        let failure = await #expect(throws: StoreFailure.self) { try await store.archive(order()) }
        #expect(failure?.code == .conflict && failure?.cause.contains("there is no checkpoint") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: archive).count == 1)
        // Of another generation, or of other records, it is none of this chain's.
        try FileManager.default.moveItem(atPath: path, toPath: archive + "/audit-g2-000000000001-\(end).jsonl")
        #expect(try await store.archive(order()).records == 20)
        await store.close()
    }

    @Test func `a beginning that goes on behind another checkpoint than the record of it says is found`() async throws {
        let store = try await filled()
        _ = try await store.archive(order())
        _ = try await store.deleteArchived(limit: 100)
        for number in 22...30 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
        }
        let checkpoint = try #require(try await store.makeCheckpoint())
        #expect(checkpoint.sequence == 30 && checkpoint.count == 30)
        try await store.record(Sample.refusal())
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        for sql in [
            "UPDATE audit_checkpoints SET archived = 21 WHERE number = 3; DELETE FROM audit WHERE sequence <= 30",
            "UPDATE audit_checkpoints SET archived = 31 WHERE number = 3; DELETE FROM audit WHERE sequence <= 30",
            "UPDATE audit_checkpoints SET archived = NULL", "DELETE FROM audit_checkpoints WHERE number = 2",
            "UPDATE audit_checkpoints SET signature = zeroblob(64)", "DELETE FROM audit WHERE sequence = 21",
        ] {
            let copy = try TemporaryFolder()
            _ = try StoreBackup(of: folder.file, to: copy.file, at: Sample.time)
            try await copy.connect().writeWithoutTransaction { try $0.execute(sql: sql) }
            let other = try SQLiteStore(path: copy.file, logger: .silent)
            other.sign(with: try #require(store.commits.trail.keys))
            let report = try await other.verifyAudit(after: nil, records: .max)
            #expect(report.finding != nil, "\(sql)")
            await other.close()
        }
        await store.close()
    }

    @Test func `a record of an archiving that no broker signed erases nothing`() async throws {
        let store = try await filled()
        let keys = try #require(store.commits.trail.keys)
        try await store.record(Sample.refusal())
        await store.close()
        // As the broker makes it, but for the signature, which takes the key; or with the signature of another checkpoint.
        for signature in [nil, 1, 2] as [Int64?] {
            let copy = try TemporaryFolder()
            _ = try StoreBackup(of: folder.file, to: copy.file, at: Sample.time)
            var store = try copy.open(.existing)
            let checkpoints = try await store.checkpoints(after: 0, limit: 9)
            let signed = try signature.map { try keys.signature(saying: .archived, of: checkpoints[Int($0) - 1]) }
            try await store.record(
                order().event(
                    checkpoints[1],
                    signed ?? CheckpointSignature(keyID: keys.signing.keyID, bytes: checkpoints[1].signature),
                    count: 20, first: 1, file: archive, digest: AuditChain.start))
            await store.close()
            try await copy.connect().writeWithoutTransaction {
                try $0.execute(sql: "UPDATE audit_checkpoints SET archived = 22 WHERE number = 2")
            }
            store = try copy.open(.existing)
            store.sign(with: keys)
            guard signature != 2 else {
                // What the broker itself signed counts.
                #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
                #expect(try await store.deleteArchived(limit: 100) == 20)
                await store.close()
                continue
            }
            let report = try await store.verifyAudit(after: nil, records: .max)
            #expect(report.finding?.message.contains("no signed record says that they were archived") == true)
            #expect(await store.verifyAuditAtStart(with: keys).finding == report.finding)
            var failure = await #expect(throws: StoreFailure.self) { try await store.deleteArchived(limit: 100) }
            #expect(failure?.code == .unreadable)
            failure = await #expect(throws: StoreFailure.self) { try await store.archive(order()) }
            #expect(failure?.code == .unreadable)
            await store.close()
            #expect(try copy.number("SELECT count(*) FROM audit") == 22)
        }
    }

    @Test func `waits for a file of audit.file that is behind`() async throws {
        let store = try folder.open()
        _ = try await StoreConformance.signing(store)
        try await store.writeAuditFile(folder.path + "/audit.jsonl")
        try await store.record(Sample.refusal())
        try FileManager.default.removeItem(atPath: folder.path + "/audit.jsonl")
        try FileManager.default.createDirectory(
            atPath: folder.path + "/audit.jsonl", withIntermediateDirectories: false)
        // A revocation is recorded all the same.
        try await store.record([Sample.revocation(1)])
        try await store.makeCheckpoint()
        let failure = await #expect(throws: StoreFailure.self) { try await store.archive(order()) }
        #expect(failure?.cause == "audit.file does not have them yet")
        try FileManager.default.removeItem(atPath: folder.path + "/audit.jsonl")
        try await store.record(Sample.refusal(time: late))
        #expect(try await store.archive(order()).records == 3)
        await store.close()
    }
}

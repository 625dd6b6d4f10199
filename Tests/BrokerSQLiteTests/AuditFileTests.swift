import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Synchronization
import Testing

@testable import BrokerSQLite

@Suite struct `The audit file` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private var path: String { folder.path + "/audit.jsonl" }

    private func open(_ opening: SQLiteStore.Opening = .creating) async throws -> SQLiteStore {
        let store = try folder.open(opening)
        try await store.writeAuditFile(path)
        return store
    }

    private func text(_ path: String? = nil) throws -> String {
        try String(contentsOfFile: path ?? self.path, encoding: .utf8)
    }

    /// The numbers of the records in the file, and of the checkpoints, below zero.
    private func numbers(_ path: String? = nil) throws -> [Int64] {
        try text(path).split(separator: "\n").map { line in
            let object = try JSONReader.readObject(Array(line.utf8), depth: AuditLine.maximumDepth)
            if let checkpoint = Checkpoint(object) { return -checkpoint.number }
            return try AuditLine.record(of: object).sequence
        }
    }

    @Test func `has each record when the call returns, as the store has it, and checkpoints behind theirs`()
        async throws
    {
        let store = try await open()
        #expect(mode(of: path) == 0o600)
        _ = try await StoreConformance.signing(store)
        #expect(try numbers() == [1])
        let event = Sample.grant(session: "s\u{202E}", details: ["a": "\u{1B}[2K\n", "n": .number(0.25)])
        try await store.record(Sample.session("s"), event)
        #expect(try numbers() == [1, 2])
        try await store.makeCheckpoint()
        #expect(await store.recordGroup((0..<3).map { Sample.session("t\($0)") }).isEmpty)
        try await store.record([Sample.revocation(1)])
        #expect(try numbers() == [1, 2, -1, 3, 4, 5, 6])
        let marks = try await store.auditMarks(after: 0, limit: 9)
        let lines = try text().split(separator: "\n").filter { $0.hasPrefix(#"{"sequence""#) }
        let records = try lines.map { try AuditLine.parse(Array($0.utf8)) }
        #expect(records.map { AuditMark(sequence: $0.sequence, hash: $0.hash ?? []) } == marks)
        #expect(records[1].event.isSame(as: event))
        // Byte for byte as whoever exports writes it.
        for (line, record) in zip(lines, records) {
            #expect(String(decoding: AuditLine.encode(record), as: UTF8.self) == line)
        }
        await store.close()
        #expect(try numbers() == [1, 2, -1, 3, 4, 5, 6, -2], "the last checkpoint")
    }

    @Test func `gets what the store had before it, and what a crash left out, and nothing twice`() async throws {
        var store = try folder.open()
        for _ in 0..<1200 { try await store.record(Sample.refusal()) }
        await store.close()
        store = try await open()
        #expect(try numbers() == Array(1...1200))
        try await store.record(Sample.refusal())
        await store.close()
        // Killed between the transaction and the line, and in the middle of one.
        let whole = Array(try text().utf8)
        for lost in [1, 10, 100, 700, 2000] {
            try Data(whole.dropLast(lost)).write(to: URL(filePath: path))
            store = try await open(.existing)
            #expect(try text() == String(decoding: whole, as: UTF8.self), "\(lost)")
            await store.close()
        }
    }

    @Test func `is opened anew where it was renamed, removed or emptied, and goes on where it was`() async throws {
        let store = try await open()
        try await store.record(Sample.refusal())
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        try await store.record(Sample.refusal())
        #expect(try numbers(path + ".1") == [1])
        #expect(try numbers() == [2])
        try FileManager.default.moveItem(atPath: path, toPath: path + ".2")
        try await store.reopenAuditFile()
        #expect(try numbers() == [])
        try await store.record(Sample.refusal())
        #expect(try numbers() == [3])
        #expect(mode(of: path) == 0o600)
        try FileManager.default.removeItem(atPath: path)
        try await store.record(Sample.refusal())
        #expect(try numbers() == [4])
        // Another one in its place.
        try Data("x".utf8).write(to: URL(filePath: path + ".other"))
        try #require(rename(path + ".other", path) == 0)
        try await store.record(Sample.refusal())
        #expect(try numbers() == [5], "what was no whole line is gone")
        try #require(truncate(path, 0) == 0)
        try await store.record(Sample.refusal())
        #expect(try numbers() == [6])
        await store.close()
    }

    @Test func `where it cannot be written nothing is granted, a revocation is, and it ends by itself`() async throws {
        let clock = ManualClock()
        let store = try folder.open(clock: clock)
        try await store.writeAuditFile(path)
        #expect(await store.recordAll([Sample.session("a")]).isEmpty)
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let failures = await store.recordAll([Sample.session("b")])
        #expect(failures["b"]?.code == .unavailable)
        #expect(failures["b"]?.cause.hasPrefix("audit.file \(path): ") == true, "\(failures)")
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1, "it is not recorded as granted either")
        #expect(await store.check()?.failure.cause.hasPrefix("audit.file") == true)
        try await store.record([Sample.revocation(1)])
        #expect(await store.check()?.failure.cause.hasPrefix("audit.file") == true)
        try FileManager.default.removeItem(atPath: path)
        clock.advance(by: .seconds(1))
        #expect(await store.check() == nil)
        #expect(try numbers() == [2], "the revocation")
        #expect(await store.recordAll([Sample.session("b")]).isEmpty)
        #expect(try numbers() == [2, 3])
        await store.close()
    }

    /// As `chattr +a` makes it, on a disk that is full in the middle of the batch's second line.
    @Test func `one that only lets itself be appended to goes on behind the last whole line`() async throws {
        let store = try folder.open()
        let room = Mutex(Int.max)
        var calls = AuditSink.Calls()
        calls.truncate = { _, _ in
            errno = EPERM
            return -1
        }
        calls.write = { descriptor, bytes in
            let count = room.withLock { room in
                defer { room -= min(room, bytes.count) }
                return min(room, bytes.count)
            }
            guard count > 0 else {
                errno = ENOSPC
                return -1
            }
            return write(descriptor, bytes.baseAddress, count)
        }
        try await store.perform("open the audit file") { [path, calls, trail = store.commits.trail] db in
            try trail.write(to: path, db, logger: .silent, calls: calls)
        }
        try await store.record(Sample.refusal())
        let length = try text().utf8.count
        room.withLock { $0 = length + 100 }
        try await store.record([Sample.revocation(1), Sample.revocation(2), Sample.revocation(3)])
        #expect(await store.recordAll([Sample.session("a")]).count == 1)
        room.withLock { $0 = .max }
        #expect(await store.recordAll([Sample.session("b")]).isEmpty)
        let lines = try text().split(separator: "\n").map { Array($0.utf8) }
        var numbers: [Int64] = []
        for (index, line) in lines.enumerated() {
            if let record = try? AuditLine.parse(line) {
                numbers.append(record.sequence)
            } else {
                #expect(index + 1 < lines.count && lines[index + 1].starts(with: line), "as the comparison takes it")
            }
        }
        #expect(numbers == Array(1...Int64(numbers.count)) && numbers.count == 5 && lines.count == 6, "\(numbers)")
        await store.close()
    }

    @Test func `what is no file of ours is refused at the start`() async throws {
        let store = try folder.open()
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        await #expect(throws: StoreFailure.self) { try await store.writeAuditFile(path) }
        try FileManager.default.createSymbolicLink(atPath: path + ".link", withDestinationPath: folder.file)
        await #expect(throws: StoreFailure.self) { try await store.writeAuditFile(path + ".link") }
        try #require(mkfifo(path + ".pipe", 0o600) == 0)
        await #expect(throws: StoreFailure.self) { try await store.writeAuditFile(path + ".pipe") }
        await #expect(throws: StoreFailure.self) { try await store.writeAuditFile("/nowhere/audit.jsonl") }
        await store.close()
    }

    @Test func `a store that was set back is noticed at the start, and the file is not made to fit it`() async throws {
        var store = try await open()
        for _ in 0..<3 { try await store.record(Sample.refusal()) }
        _ = try StoreBackup(of: folder.file, to: folder.path + "/backup.db", at: Sample.time)
        for _ in 0..<3 { try await store.record(Sample.refusal()) }
        await store.close()
        try FileManager.default.removeItem(atPath: folder.file)
        try FileManager.default.moveItem(atPath: folder.path + "/backup.db", toPath: folder.file)
        let before = try text()
        let log = LogRecorder()
        store = try folder.open(.existing, logger: log.logger)
        try await store.writeAuditFile(path)
        #expect(log.text.contains("the audit file ends with what the store does not have"))
        let failures = await store.recordAll([Sample.session("b")])
        #expect(failures["b"]?.cause.contains("record 6 in audit.file is not in the store") == true, "\(failures)")
        try await store.record([Sample.revocation(1)])
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding?.kind == .forked && report.finding?.sequence == 6)
        #expect(try text() == before)
        await store.close()
        // A start does not make it good, and somebody who looked does.
        store = try await open(.existing)
        #expect(await store.recordAll([Sample.session("b")]).count == 1)
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        #expect(await store.recordAll([Sample.session("b")]).isEmpty)
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        await store.close()
    }

    @Test
    func `a store that was restored goes on with the file that knows more, and one without its checkpoint does not`()
        async throws
    {
        var store = try await open()
        _ = try await StoreConformance.signing(store)
        let keys = store.commits.trail.keys
        try await store.record(Sample.refusal())
        _ = try StoreBackup(of: folder.file, to: folder.path + "/backup.db", at: Sample.time)
        try await store.record(Sample.refusal())
        await store.close()
        try await folder.connect().writeWithoutTransaction { try $0.execute(sql: "DELETE FROM audit_checkpoints") }
        store = try await open(.existing)
        #expect(await store.recordAll([Sample.session("b")])["b"]?.cause.contains("checkpoint 1 in audit.file") == true)
        await store.close()

        let restore = try StoreRestore(
            from: folder.path + "/backup.db", to: folder.file, replacing: true, logger: .silent)
        let restored = AuditEvent(
            time: Sample.time, trace: TraceID(), kind: .storeRestored, issuer: nil, subject: nil,
            details: ["to_generation": 2])
        try await restore.store.begin(StoreGeneration(number: 2), with: [Sample.key("k9", .active)], restored)
        _ = try await restore.commit(at: Sample.time)
        store = try await open(.existing)
        store.sign(with: try #require(keys))
        #expect(await store.recordAll([Sample.session("b")]).isEmpty)
        await store.close()
    }

    @Test func `where it cannot be written administration ends as well, but for taking a key out, and it is said`()
        async throws
    {
        let store = try folder.open()
        let keys = [Sample.key("k1", .active), Sample.key("k2", .staged)]
        try await store.insertFirstSigningKeys(keys)
        try await store.writeAuditFile(path)
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        #expect(await store.check() == nil)
        let rotation = KeyRingChange(
            [.init("k1", from: .active, to: .retiring), .init("k2", from: .staged, to: .active)], at: Sample.time)
        let failure = await #expect(throws: StoreFailure.self) {
            try await store.apply(rotation, Sample.keyEvent(.keyRotated))
        }
        #expect(failure?.cause.hasPrefix("audit.file \(path): ") == true)
        #expect(await store.check()?.failure.cause.hasPrefix("audit.file \(path): ") == true)
        #expect(try folder.number("SELECT count(*) FROM audit") == 0)
        await #expect(throws: StoreFailure.self) { try await store.lift(blocksOf: [1], Sample.keyEvent(.keyRotated)) }
        let revocation = KeyRingChange(
            [.init("k1", from: .active, to: .compromised), .init("k2", from: .staged, to: .active)], at: Sample.time)
        try await store.apply(revocation, Sample.keyEvent(.keyRevoked))
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
        await store.close()
    }

    @Test func `what is committed and then does not get into it is done, and said`() async throws {
        let store = try await open()
        try await store.perform("have the file replaced") { [path] db in
            db.add(
                function: DatabaseFunction("replace_file", argumentCount: 0) { _ in
                    try FileManager.default.removeItem(atPath: path)
                    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
                    return nil
                })
            try db.execute(
                sql: "CREATE TEMP TRIGGER replace_it AFTER INSERT ON main.audit BEGIN SELECT replace_file(); END")
        }
        try await store.bind([:], recording: Sample.keyEvent(.keyRotated))
        #expect(await store.check()?.failure.cause.hasPrefix("audit.file") == true)
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
        await store.close()
    }
}

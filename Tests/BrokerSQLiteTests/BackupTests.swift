import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `A backup of the store` {
    let folder: TemporaryFolder
    private let now = Sample.time.addingTimeInterval(5)

    init() throws {
        folder = try TemporaryFolder()
    }

    private var target: String { folder.path + "/backup.db" }

    private func names() throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: folder.path))
    }

    @Test func `has what was recorded before, is for its owner alone, and is one file`() async throws {
        let store = try folder.open()
        try await store.insertFirstSigningKeys([Sample.key("k1", .active)])
        for number in 0..<100 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
        }
        let before = umask(0)
        let backup = try StoreBackup(of: folder.file, to: target, at: now)
        umask(before)
        await store.close()
        #expect(backup.generation == 1 && backup.lastRecord == Sample.time && backup.path == target)
        #expect(try folder.contents(of: "backup.db").count == backup.bytes)
        #expect(mode(of: target) == 0o600)
        #expect(try names() == ["daypass.db", "daypass.db.lock", "backup.db"])

        let copy = try SQLiteStore(path: target, logger: .silent)
        #expect(try await copy.session("s99") != nil)
        #expect(try await copy.signingKeys() == [Sample.key("k1", .active)])
        #expect(try await copy.generation() == StoreGeneration(number: 1, backedUp: now))
        await copy.close()
    }

    @Test func `is made while the store records, which goes on meanwhile, and splits nothing`() async throws {
        let store = try folder.open()
        let recording = Task {
            var count = 0
            while !Task.isCancelled {
                try await store.record(Sample.session("s\(count)"), Sample.grant(session: "s\(count)"))
                count += 1
            }
            return count
        }
        while try await store.session("s20") == nil { await Task.yield() }
        for number in 0..<5 {
            _ = try StoreBackup(of: folder.file, to: "\(target)\(number)", at: now)
            let copy = try DatabaseQueue(path: "\(target)\(number)")
            let (sessions, events) = try await copy.read { db in
                (
                    try Int.fetchOne(db, sql: "SELECT count(*) FROM sessions"),
                    try Int.fetchOne(db, sql: "SELECT count(*) FROM audit")
                )
            }
            #expect(sessions == events)
            #expect(sessions ?? 0 > 20)
        }
        recording.cancel()
        #expect(try await recording.value > 20)
        await store.close()
    }

    @Test func `never takes the place of anything, be it a link to nowhere`() async throws {
        await (try folder.open()).close()
        try Data("mine".utf8).write(to: URL(filePath: target))
        let failure = #expect(throws: StoreFailure.self) { try StoreBackup(of: folder.file, to: target, at: now) }
        #expect(failure?.code == .conflict)
        #expect(failure?.cause.hasSuffix("/backup.db exists; a backup never takes the place of a file") == true)
        #expect(try folder.contents(of: "backup.db") == Array("mine".utf8))
        try FileManager.default.createSymbolicLink(atPath: folder.path + "/link", withDestinationPath: "/nowhere/x")
        #expect(throws: StoreFailure.self) { try StoreBackup(of: folder.file, to: folder.path + "/link", at: now) }
        #expect(throws: StoreFailure.self) { try StoreBackup(of: folder.file, to: folder.file, at: now) }
    }

    @Test func `removes what a killed one left, and leaves alone what another is writing`() async throws {
        await (try folder.open()).close()
        // What was killed between getting its name and losing the other one: one file with two names.
        try Data("whole".utf8).write(to: URL(filePath: folder.path + "/archived"))
        try FileManager.default.linkItem(atPath: folder.path + "/archived", toPath: target + ".partial")
        _ = try StoreBackup(of: folder.file, to: target, at: now)
        #expect(try folder.contents(of: "archived") == Array("whole".utf8))
        #expect(!(try names()).contains("backup.db.partial"))

        let second = folder.path + "/second"
        let other = try PartialFile(second + ".partial")
        let failure = #expect(throws: StoreFailure.self) { try StoreBackup(of: folder.file, to: second, at: now) }
        #expect(failure?.code == .conflict)
        #expect(failure?.cause.contains("/second.partial is being written") == true)
        other.remove()
    }

    @Test func `of what is no store, or a damaged one, is not made`() async throws {
        #expect(throws: StoreFailure.self) { try StoreBackup(of: folder.file, to: target, at: now) }
        try folder.write(Array("no database at all, but some text that is long enough".utf8))
        #expect(throws: StoreFailure.self) { try StoreBackup(of: folder.file, to: target, at: now) }
        try FileManager.default.removeItem(atPath: folder.file)

        let store = try folder.open()
        for number in 0..<200 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
        }
        await store.close()
        let whole = try folder.contents()
        try folder.write(Array(whole.prefix(whole.count / 2)))
        #expect(throws: StoreFailure.self) { try StoreBackup(of: folder.file, to: target, at: now) }
        #expect(try names().isDisjoint(with: ["backup.db", "backup.db.partial"]))
    }
}

@Suite struct `Restoring a store` {
    let folder: TemporaryFolder
    private let now = Sample.time.addingTimeInterval(60)

    init() throws {
        folder = try TemporaryFolder()
    }

    private var backup: String { folder.path + "/backup.db" }

    /// A store with one session, and a backup of it.
    private func back(up sessions: [String] = ["s1"]) async throws {
        let store = try folder.open()
        try await store.insertFirstSigningKeys([Sample.key("k1", .active)])
        for session in sessions { try await store.record(Sample.session(session), Sample.grant(session: session)) }
        _ = try StoreBackup(of: folder.file, to: backup, at: Sample.time)
        await store.close()
    }

    private func restore(replacing: Bool = false) throws(StoreFailure) -> StoreRestore {
        try StoreRestore(from: backup, to: folder.file, replacing: replacing, logger: .silent)
    }

    private func names() throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: folder.path))
    }

    @Test func `puts the copy in the place of none, and leaves the backup as it was`() async throws {
        try await back(up: ["s1", "s2"])
        try FileManager.default.removeItem(atPath: folder.file)
        let before = try folder.contents(of: "backup.db")
        let restore = try restore()
        #expect(restore.replaced == nil)
        #expect(!FileManager.default.fileExists(atPath: folder.file))
        #expect(try await restore.commit(at: now) == nil)
        #expect(try names() == ["daypass.db", "daypass.db.lock", "backup.db"])
        #expect(try folder.contents(of: "backup.db") == before)
        #expect(mode(of: folder.file) == 0o600)
        let store = try folder.open(.existing)
        #expect(try await store.session("s2") != nil)
        await store.close()
    }

    @Test func `sets a store aside only when it is told to, with a log that was not yet written back`() async throws {
        try await back(up: ["s1"])
        // What a kill leaves: the last records are in the log alone.
        let killed = try TemporaryFolder()
        let store = try folder.open(.existing)
        try await store.record(Sample.session("late"), Sample.grant(session: "late"))
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: folder.file + suffix, toPath: killed.file + suffix)
        }
        await store.close()
        #expect(throws: StoreFailure.self) {
            try StoreRestore(from: backup, to: killed.file, replacing: false, logger: .silent)
        }
        let restore = try StoreRestore(from: backup, to: killed.file, replacing: true, logger: .silent)
        #expect(restore.replaced?.generation == 1)
        let kept = try #require(try await restore.commit(at: now))
        #expect(kept.hasSuffix("/daypass.db.replaced-20231114T221420Z"))
        let old = try SQLiteStore(path: kept, logger: .silent)
        #expect(try await old.session("late") != nil)
        await old.close()
        let restored = try killed.open(.existing)
        #expect(try await restored.session("late") == nil)
        #expect(try await restored.session("s1") != nil)
        await restored.close()
        // And back again, since the one that was kept is a store like any other.
        let back = try StoreRestore(from: kept, to: killed.file, replacing: true, logger: .silent)
        #expect(try await back.store.session("late") != nil)
        await back.discard()
        #expect(FileManager.default.fileExists(atPath: killed.file))
    }

    @Test func `never lets a log that lost its file become part of the restored one`() async throws {
        try await back(up: ["s1"])
        let store = try folder.open(.existing)
        try await store.record(Sample.session("late"), Sample.grant(session: "late"))
        let log = try folder.contents(of: "daypass.db-wal")
        await store.close()
        try FileManager.default.removeItem(atPath: folder.file)
        try Data(log).write(to: URL(filePath: folder.file + "-wal"))
        _ = try await restore().commit(at: now)
        let restored = try folder.open(.existing)
        #expect(try await restored.session("late") == nil)
        #expect(try await restored.session("s1") != nil)
        await restored.close()
    }

    @Test func `refuses while the store is open, and changes nothing`() async throws {
        try await back()
        let store = try folder.open(.existing)
        let failure = #expect(throws: StoreFailure.self) { try restore(replacing: true) }
        #expect(failure?.cause.contains("another daypassd has") == true)
        try await store.record(Sample.refusal())
        await store.close()
    }

    @Test func `keeps a broker from opening the store until it is done`() async throws {
        try await back()
        let restore = try restore(replacing: true)
        #expect(throws: StoreFailure.self) { try folder.open(.existing) }
        await restore.discard()
        await (try folder.open(.existing)).close()
    }

    struct Damage: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let apply: @Sendable (inout [UInt8]) -> Void
        let words: String
    }

    static let damages = [
        Damage(testDescription: "truncated", apply: { $0.removeLast($0.count / 2) }, words: "malformed"),
        Damage(testDescription: "emptied", apply: { $0 = [] }, words: "is empty"),
        Damage(testDescription: "text", apply: { $0 = Array("Dear diary, ".utf8) }, words: "not a database"),
        Damage(
            testDescription: "overwritten in the middle",
            apply: { bytes in
                for index in bytes.count / 2..<bytes.count / 2 + 8192 { bytes[index] = 0xA5 }
            }, words: ""),
        Damage(
            testDescription: "of another program", apply: { $0[68..<72] = [0, 0, 0, 1] }, words: "not one of Daypass"),
        Damage(
            testDescription: "of a newer version", apply: { $0[60..<64] = [0, 0, 0, 99] },
            words: "was made by a newer version of Daypass (schema 99"),
    ]

    @Test(arguments: damages)
    func `refuses a backup that is not whole, or none, and changes nothing`(damage: Damage) async throws {
        try await back(up: (0..<200).map { "s\($0)" })
        var bytes = try folder.contents(of: "backup.db")
        damage.apply(&bytes)
        try Data(bytes).write(to: URL(filePath: backup))
        let (before, store) = (try names(), try folder.contents())
        let failure = #expect(throws: StoreFailure.self) { try restore(replacing: true) }
        #expect(failure?.code == .unreadable)
        #expect(failure?.cause.contains(damage.words) == true || damage.words.isEmpty, "\(failure?.cause ?? "")")
        #expect(try names() == before)
        #expect(try folder.contents() == store)
    }
}

import Broker
import FoundationEssentials
import GRDB
import Glibc
import JOSE

/// Writes a part of the chain to a file of its own: a line for each record and each checkpoint, the one that the part begins
/// behind first, and one last.
enum AuditArchiving {
    /// A part that was written, and is whole and on the disk.
    struct Part: Sendable {
        let file: String
        let digest: [UInt8]
        let count: Int64
        let first: Int64
        let begins: Checkpoint?
        let ends: Checkpoint
    }

    /// On the connection that reads: one moment of the store.
    /// - Returns: nil where there is no segment that may go.
    /// - Throws: `.unreadable` where the chain is not intact up to there: nothing is to be deleted then.
    static func write(_ db: Database, _ order: ArchiveOrder, keys: CheckpointKeys?) throws -> Part? {
        let begins = try ArchiveMark.begins(db, keys)
        let generation = try StoreGeneration(db).number
        var part = PartWriter(db, begins, keys)
        let prefix = "audit-g\(generation)-\(padded(try part.firstRecord()))-"
        let published = try published(in: order.folder, prefix)
        guard let ends = try end(db, order, after: begins, at: published) else { return nil }
        if mkdir(order.folder, 0o700) == 0 {
            try FileSystem.syncFolder(of: order.folder, "archive audit records")
        } else if errno != EEXIST {
            throw FileSystem.failure(order.folder, "archive audit records")
        }
        let path = "\(order.folder)/\(prefix)\(padded(ends.sequence)).jsonl"
        // One name, so that what was killed leaves one at most.
        let partial = try PartialFile(order.folder + "/audit.jsonl.partial")
        defer { partial.remove() }
        try part.write(upTo: ends, to: partial)
        let (count, digest) = part.result
        if FileSystem.exists(path) {
            // What was killed before its record was made, and wrote the same.
            guard try PartWriter.digest(of: path) == digest else {
                throw StoreFailure(
                    .conflict, "archive audit records", cause: "\(path) exists, and has something else in it")
            }
            try FileSystem.sync(path, "archive audit records")
            try FileSystem.syncFolder(of: path, "archive audit records")
        } else {
            _ = try partial.publish(as: path)
        }
        return Part(file: path, digest: digest, count: count, first: try part.firstRecord(), begins: begins, ends: ends)
    }

    /// The last record of a file that has a name with that beginning: the broker was killed before it made the record of it,
    /// and another file would have the same records once more. Nil where there is none.
    private static func published(in folder: String, _ prefix: String) throws -> Int64? {
        guard FileSystem.exists(folder) else { return nil }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw FileSystem.failure(folder, "archive audit records")
        }
        return names.lazy.filter { $0.hasPrefix(prefix) && $0.hasSuffix(".jsonl") }
            .compactMap { Int64($0.dropFirst(prefix.count).dropLast(".jsonl".count)) }.max()
    }

    private static func padded(_ number: Int64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 12 - digits.count)) + digits
    }

    /// The last checkpoint up to which every record may go.
    /// - Parameter published: that of this record and no other; nil for the last of as many as the order has.
    /// - Throws: `.conflict` where there is no checkpoint behind that record.
    private static func end(
        _ db: Database, _ order: ArchiveOrder, after begins: Checkpoint?, at published: Int64?
    ) throws -> Checkpoint? {
        if let published,
            try Int.fetchOne(db, sql: "SELECT 1 FROM audit_checkpoints WHERE sequence = ?", arguments: [published])
                == nil
        {
            throw StoreFailure(
                .conflict, "archive audit records",
                cause: "\(order.folder) has a file of records up to \(published), behind which there is no checkpoint")
        }
        var looked = 0
        let records = try db.makeStatement(sql: "SELECT sequence, time FROM audit WHERE sequence > ? ORDER BY sequence")
        var checkpoints = try CheckpointCursor(db, after: begins?.number ?? 0)
        var found: Checkpoint?
        try records.rows(binding: { $0.integer(begins?.sequence ?? 0) }) { row in
            guard order.permits(Date(milliseconds: row.integer(1))), let checkpoint = checkpoints.first else {
                return false
            }
            looked += 1
            guard checkpoint.sequence == row.integer(0) else { return true }
            found = checkpoint
            try checkpoints.advance()
            return published.map { $0 > checkpoint.sequence } ?? (looked < order.maximumRecords)
        }
        // Where the retention was made longer meanwhile, that one waits.
        return published == nil || found?.sequence == published ? found : nil
    }
}

/// Writes the lines of a part, and verifies it meanwhile.
private struct PartWriter {
    private static let chunk = 1 << 20

    private let db: Database
    private let begins: Checkpoint?
    private let keys: CheckpointKeys?
    private let hash = ArchiveDigest()
    private var count: Int64 = 0
    private var digest: [UInt8] = []

    init(_ db: Database, _ begins: Checkpoint?, _ keys: CheckpointKeys?) {
        self.db = db
        self.begins = begins
        self.keys = keys
    }

    var result: (count: Int64, digest: [UInt8]) { (count, digest) }

    func firstRecord() throws -> Int64 {
        try Int64.fetchOne(
            db, sql: "SELECT min(sequence) FROM audit WHERE sequence > ?", arguments: [begins?.sequence ?? 0]) ?? 0
    }

    mutating func write(upTo ends: Checkpoint, to file: PartialFile) throws {
        var verification = AuditVerification(after: begins, keys: keys, remembering: nil)
        var checkpoints = try CheckpointCursor(db, after: begins?.number ?? 0)
        var columns = AuditColumns(time: 0)
        var lines: [UInt8] = []
        if let begins { lines += Self.line(begins) }
        var (finding, written): (AuditFinding?, Int64) = (nil, 0)
        let hash = hash
        let statement = try db.makeStatement(sql: AuditReading.selection)
        try statement.rows(binding: { $0.integer(begins?.sequence ?? 0) }) { row in
            let sequence = row.integer(0)
            guard sequence <= ends.sequence else { return false }
            columns.read(row)
            finding = row.withBytes(AuditReading.hashColumn) { verification.check(sequence, hash: $0, columns.bytes) }
            guard finding == nil else { return false }
            AuditLine.append(row, to: &lines)
            written += 1
            if let checkpoint = checkpoints.first, checkpoint.sequence == sequence {
                finding = verification.check(checkpoint)
                guard finding == nil else { return false }
                lines += Self.line(checkpoint)
                try checkpoints.advance()
            }
            if lines.count >= Self.chunk {
                hash.update(lines)
                try file.write(lines)
                lines.removeAll(keepingCapacity: true)
            }
            return true
        }
        if let finding {
            throw StoreFailure(
                .unreadable, "archive audit records", cause: "the audit trail is not intact: \(finding.message)")
        }
        hash.update(lines)
        try file.write(lines)
        count = written
        digest = hash.finish()
    }

    private static func line(_ checkpoint: Checkpoint) -> [UInt8] {
        checkpoint.json.encoded() + [UInt8(ascii: "\n")]
    }

    static func digest(of path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw FileSystem.failure(path, "archive audit records") }
        defer { close(descriptor) }
        let hash = ArchiveDigest()
        var buffer = [UInt8](repeating: 0, count: chunk)
        while true {
            let got = read(descriptor, &buffer, buffer.count)
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw FileSystem.failure(path, "archive audit records") }
            guard got > 0 else { return hash.finish() }
            hash.update(Array(buffer[..<got]))
        }
    }
}

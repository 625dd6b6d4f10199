import Broker
import FoundationEssentials
import GRDB
import Glibc
import JOSE
import Logging
import Synchronization

/// The file of `audit.file`: every audit record and every checkpoint, a line of JSON each, appended after the transaction
/// that recorded it and synced before anybody is answered.
///
/// After, and not before: what the file has, the store has, so that the file never speaks of a record that was not made; and
/// what a crash leaves out is appended from the store when it is opened again. On the connection's queue.
final class AuditSink: Sendable {
    /// So many records are read and written at once.
    private static let batch = 500
    /// So much of the end of a file is looked through for its last record.
    private static let tailLength: off_t = 8 << 20

    private struct State {
        var file: OpenFile?
        /// The last record and the last checkpoint that are in the file, durably.
        var position = Position(record: 0, checkpoint: 0)
        /// The line before was cut off, and could not be taken back.
        var needsBreak = false
        /// Some of a batch may be in the file, and could not be taken back.
        var isPartlyWritten = false
        /// What the file has, and the store has otherwise or not at all.
        var contradiction: AuditFinding?
    }

    struct Position: Sendable, Hashable {
        var record: Int64
        var checkpoint: Int64
    }

    private struct OpenFile {
        let descriptor: CInt
        let device: dev_t
        let inode: ino_t
        var length: off_t
    }

    let path: String
    private let logger: Logger
    private let state = Mutex(State())

    var position: Position { state.withLock { $0.position } }
    /// What the file has and the store has not, or otherwise: nothing more is written then. Nil where the two agree.
    var contradiction: AuditFinding? { state.withLock { $0.contradiction } }

    /// The two calls that change the file.
    struct Calls: Sendable {
        var write: @Sendable (CInt, UnsafeRawBufferPointer) -> Int = { Glibc.write($0, $1.baseAddress, $1.count) }
        var truncate: @Sendable (CInt, off_t) -> CInt = { ftruncate($0, $1) }
    }

    private let calls: Calls

    /// Opens the file, and finds out how far it has come.
    init(path: String, _ db: Database, logger: Logger, calls: Calls = Calls()) throws {
        self.path = path
        self.logger = logger
        self.calls = calls
        let stored = try Self.storedPosition(db)
        try state.withLock { state in
            state.file = try open(&state)
            try locate(&state, stored, db)
        }
    }

    deinit {
        state.withLock { if let file = $0.file { close(file.descriptor) } }
    }

    /// Appends what the store has and the file has not. Without anything new it asks whether the file is still there.
    /// - Throws: `.unavailable` where it cannot be written or synced; what is missing is appended by the next call.
    func catchUp(_ db: Database, to tail: AuditTail?) throws(StoreFailure) {
        do {
            try state.withLock { state in
                try reopenIfReplaced(&state, db)
                if let contradiction = state.contradiction {
                    throw StoreFailure(
                        .unavailable, "write the audit file", cause: "audit.file \(path): \(contradiction.message)")
                }
                if state.isPartlyWritten {
                    try locate(&state, state.position, db)
                    state.isPartlyWritten = false
                }
                while isBehind(state, tail), try append(next(after: state.position, db), &state) {}
            }
        } catch {
            throw StoreFailure("write the audit file", about: nil, reporting: error, as: .unavailable)
        }
    }

    /// Opens the file again by its name.
    func reopen(_ db: Database, to tail: AuditTail?) throws(StoreFailure) {
        state.withLock { state in
            if let file = state.file { close(file.descriptor) }
            state.file = nil
        }
        try catchUp(db, to: tail)
    }

    private func isBehind(_ state: State, _ tail: AuditTail?) -> Bool {
        guard let tail else { return true }
        return state.position.record < tail.sequence
            || state.position.checkpoint < tail.lastCheckpoint?.number ?? 0
    }

    // MARK: The file

    private func reopenIfReplaced(_ state: inout State, _ db: Database) throws {
        if var file = state.file {
            var (found, own) = (stat(), stat())
            let isThere = lstat(path, &found) == 0 && found.st_dev == file.device && found.st_ino == file.inode
            guard !isThere else {
                guard fstat(file.descriptor, &own) == 0 else { throw failure() }
                if own.st_size != file.length {
                    logger.warning(
                        "the audit file was changed by somebody else",
                        metadata: ["file": "\(path)", "bytes": "\(own.st_size)", "written": "\(file.length)"])
                    file.length = own.st_size
                    state.file = file
                    try mendEnd(&state)
                }
                return
            }
            logger.notice("the audit file was replaced: it is opened anew", metadata: ["file": "\(path)"])
            close(file.descriptor)
            state.file = nil
        }
        state.file = try open(&state)
        // Another file: what the one before said of the store is with whoever took it away.
        if state.contradiction != nil { try locate(&state, state.position, db) }
    }

    private func open(_ state: inout State) throws -> OpenFile {
        let descriptor = Glibc.open(
            path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw failure() }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw StoreFailure(.unavailable, "open the audit file", cause: "\(path) is no regular file")
        }
        state.file = OpenFile(
            descriptor: descriptor, device: status.st_dev, inode: status.st_ino, length: status.st_size)
        do {
            try mendEnd(&state)
            try FileSystem.syncFolder(of: path, "open the audit file")
        } catch {
            close(descriptor)
            state.file = nil
            throw error
        }
        return state.file ?? OpenFile(descriptor: descriptor, device: 0, inode: 0, length: 0)
    }

    /// Takes away a line that was cut off, or, where the file only lets itself be appended to, has the next one begin on a
    /// line of its own.
    private func mendEnd(_ state: inout State) throws {
        state.needsBreak = false
        guard var file = state.file, file.length > 0 else { return }
        let end = try tail(of: file)
        guard let last = end.last, last != UInt8(ascii: "\n") else { return }
        guard let line = end.lastIndex(of: UInt8(ascii: "\n")) ?? (file.length == off_t(end.count) ? -1 : nil),
            calls.truncate(file.descriptor, file.length - off_t(end.count - 1 - line)) == 0
        else {
            state.needsBreak = true
            return
        }
        file.length -= off_t(end.count - 1 - line)
        state.file = file
    }

    private func tail(of file: OpenFile) throws -> [UInt8] {
        let count = Int(min(file.length, Self.tailLength))
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes {
                pread(
                    file.descriptor, $0.baseAddress.map { $0 + filled }, count - filled,
                    file.length - off_t(count) + off_t(filled))
            }
            guard got > 0 else {
                if got < 0, errno == EINTR { continue }
                throw failure()
            }
            filled += got
        }
        return bytes
    }

    private func write(_ bytes: [UInt8], _ state: inout State) throws {
        guard var file = state.file else { throw failure() }
        let text = (state.needsBreak ? [UInt8(ascii: "\n")] : []) + bytes
        var written = 0
        while written < text.count {
            let count = text.withUnsafeBytes { calls.write(file.descriptor, .init(rebasing: $0[written...])) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let failure = failure()
                state.isPartlyWritten = !takeBack(&file, &state, hasWritten: written > 0)
                throw failure
            }
            written += count
        }
        guard fdatasync(file.descriptor) == 0 else {
            // What is on the disk then, nobody knows: it is written again.
            let failure = failure()
            _ = takeBack(&file, &state, hasWritten: true)
            throw failure
        }
        file.length += off_t(text.count)
        state.file = file
        state.needsBreak = false
    }

    /// - Returns: whether the file is what it was before.
    private func takeBack(_ file: inout OpenFile, _ state: inout State, hasWritten: Bool) -> Bool {
        guard hasWritten, calls.truncate(file.descriptor, file.length) != 0 else { return true }
        var status = stat()
        if fstat(file.descriptor, &status) == 0 { file.length = status.st_size }
        state.needsBreak = true
        state.file = file
        return false
    }

    private func failure() -> StoreFailure {
        StoreFailure(
            .unavailable, "write the audit file", cause: "audit.file \(path): \(String(cString: strerror(errno)))")
    }

    // MARK: Its contents

    private struct Lines {
        var bytes: [UInt8] = []
        var position: Position
    }

    /// - Returns: whether there may be more.
    private func append(_ lines: Lines, _ state: inout State) throws -> Bool {
        guard !lines.bytes.isEmpty else { return false }
        try write(lines.bytes, &state)
        state.position = lines.position
        return true
    }

    private func next(after position: Position, _ db: Database) throws -> Lines {
        var lines = Lines(position: position)
        var checkpoints = try Checkpoint.fetch(
            db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE number > ? ORDER BY number LIMIT ?",
            [position.checkpoint, Self.batch])[...]
        func appendCheckpoints(upTo record: Int64) {
            while let checkpoint = checkpoints.first, checkpoint.sequence <= record {
                lines.bytes += checkpoint.json.encoded()
                lines.bytes.append(UInt8(ascii: "\n"))
                lines.position.checkpoint = checkpoint.number
                checkpoints = checkpoints.dropFirst()
            }
        }
        appendCheckpoints(upTo: position.record)
        let statement = try db.cachedStatement(sql: AuditReading.selection + " LIMIT \(Self.batch)")
        try statement.rows(binding: { $0.integer(position.record) }) { row in
            guard AuditMark.numbers.contains(row.integer(0)) else { return false }
            AuditLine.append(row, to: &lines.bytes)
            lines.position.record = row.integer(0)
            appendCheckpoints(upTo: row.integer(0))
            return true
        }
        return lines
    }

    /// Finds out where the file has come to: by its last record, if the store has that one; else what the store noted last.
    /// Where the store has another one, or none although it is not so old that it was archived, the two contradict each
    /// other, unless the store was restored since.
    private func locate(_ state: inout State, _ stored: Position, _ db: Database) throws {
        (state.position, state.contradiction) = (stored, nil)
        guard let file = state.file, file.length > 0 else { return }
        let begins = try AuditReading.archived(db)?.checkpoint
        var (contradiction, generation): (AuditFinding?, Int?) = (nil, nil)
        for line in try tail(of: file).split(separator: UInt8(ascii: "\n")).reversed() {
            guard let object = try? JSONReader.readObject(Array(line), depth: AuditLine.maximumDepth) else { continue }
            if let found = Checkpoint(object) {
                generation = found.generation
                if contradiction != nil { break }
                if try has(found, db) {
                    state.position.checkpoint = max(state.position.checkpoint, found.number)
                } else if found.number > begins?.number ?? 0 {
                    contradiction = Self.contradiction("checkpoint \(found.number)", found.sequence)
                    break
                }
            } else if contradiction == nil, let record = try? AuditLine.record(of: object), let hash = record.hash {
                let mark = AuditMark(sequence: record.sequence, hash: hash)
                if try AuditReading.marks(db, after: record.sequence - 1, limit: 1).first == mark {
                    state.position.record = record.sequence
                    return
                }
                // Archived long ago: there is nothing to compare it with.
                if record.sequence < begins?.sequence ?? 0 { return }
                contradiction = Self.contradiction("record \(record.sequence)", record.sequence)
            }
        }
        guard let contradiction else { return }
        state.position = stored
        logger.error(
            "the audit file ends with what the store does not have: `daypass audit verify --against` it",
            metadata: ["file": "\(path)", "finding": "\(contradiction.message)"])
        guard try StoreGeneration(db).number <= generation ?? 1 else { return }
        state.contradiction = contradiction
    }

    private func has(_ checkpoint: Checkpoint, _ db: Database) throws -> Bool {
        try Checkpoint.fetch(
            db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE number = ?", [checkpoint.number]
        ).first?.digest == checkpoint.digest
    }

    private static func contradiction(_ what: String, _ sequence: Int64) -> AuditFinding {
        AuditFinding(
            .forked, sequence,
            "\(what) in audit.file is not in the store: the store was set back or altered, and nothing is granted until "
                + "somebody has looked and moved the file away")
    }

    private static func storedPosition(_ db: Database) throws -> Position {
        let rows = try Row.fetchAll(db, sql: "SELECT sequence, checkpoint FROM audit_sink")
        return rows.first.map { Position(record: $0[0], checkpoint: $0[1]) } ?? Position(record: 0, checkpoint: 0)
    }

    /// Notes in the store how far the file has come, so that an empty one does not get everything again.
    static func note(_ position: Position, _ db: Database) throws {
        try db.cachedStatement(
            sql: "INSERT OR REPLACE INTO audit_sink (id, sequence, checkpoint) VALUES (1, ?, ?)"
        ).run {
            $0.integer(position.record)
            $0.integer(position.checkpoint)
        }
    }
}

extension AuditLine {
    /// Appends the line of a row of `AuditReading.selection`, with the line break: the same as `encode`, from the columns as
    /// they are stored.
    static func append(_ row: RawRow, to output: inout [UInt8]) {
        func text(_ bytes: StaticString) {
            bytes.withUTF8Buffer { output.append(contentsOf: $0) }
        }
        text("{\"sequence\":")
        output.append(contentsOf: String(row.integer(0)).utf8)
        text(",\"time\":\"")
        RecordedTime(Date(milliseconds: row.integer(1))).append(to: &output)
        text("\"")
        let names: [StaticString] = [
            ",\"trace\":", ",\"kind\":", ",\"issuer\":", ",\"subject\":", ",\"rule\":", ",\"session\":", ",\"token\":",
            ",\"reason\":",
        ]
        for (index, name) in names.enumerated() {
            guard let bytes = row.bytes(CInt(2 + index)) else { continue }
            text(name)
            JSONValue.encode(String(decoding: bytes, as: UTF8.self), into: &output)
        }
        text(",\"details\":")
        output.append(contentsOf: row.bytes(10) ?? Array("null".utf8))
        if let hash = row.bytes(AuditReading.hashColumn) {
            text(",\"hash\":\"")
            Base64URL.encode(hash, into: &output)
            text("\"")
        }
        text("}\n")
    }
}

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
        var position = Position.none
        /// The line before was cut off, and could not be taken back.
        var needsBreak = false
        /// Some of a batch may be in the file, and could not be taken back.
        var isPartlyWritten = false
        /// What the file has, and the store has otherwise or not at all.
        var contradiction: AuditFinding?
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
    /// - Parameter end: that of the store.
    init(path: String, _ db: Database, to end: Position, logger: Logger, calls: Calls = Calls()) throws {
        self.path = path
        self.logger = logger
        self.calls = calls
        let stored = try Self.storedPosition(db)
        try state.withLock { state in
            state.file = try open(&state)
            try locate(&state, stored, end, db)
        }
    }

    deinit {
        state.withLock { if let file = $0.file { close(file.descriptor) } }
    }

    /// Appends what the store has and the file has not. Without anything new it asks whether the file is still there.
    /// - Throws: `.unavailable` where it cannot be written or synced; what is missing is appended by the next call.
    func catchUp(_ db: Database, to known: Known) throws(StoreFailure) {
        do {
            try state.withLock { state in
                try reopenIfReplaced(&state, known.end, db)
                if let contradiction = state.contradiction {
                    throw StoreFailure(
                        .unavailable, "write the audit file", cause: "audit.file \(path): \(contradiction.message)")
                }
                if state.isPartlyWritten {
                    try locate(&state, state.position, known.end, db)
                    state.isPartlyWritten = false
                }
                while isBehind(state.position, known.end) {
                    var lines = try stored(after: state.position, upTo: known.found, db)
                    if lines.bytes.isEmpty {
                        lines = Self.remembered(known.entries, after: state.position, atMost: Self.batch)
                    }
                    guard try append(lines, &state) else { break }
                }
            }
        } catch {
            throw StoreFailure("write the audit file", about: nil, reporting: error, as: .unavailable)
        }
    }

    /// Opens the file again by its name.
    func reopen(_ db: Database, to known: Known) throws(StoreFailure) {
        state.withLock { state in
            if let file = state.file { close(file.descriptor) }
            state.file = nil
        }
        try catchUp(db, to: known)
    }

    private func isBehind(_ position: Position, _ end: Position) -> Bool {
        position.record < end.record || position.checkpoint < end.checkpoint
    }

    // MARK: The file

    private func reopenIfReplaced(_ state: inout State, _ end: Position, _ db: Database) throws {
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
        if state.contradiction != nil { try locate(&state, state.position, end, db) }
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

    /// - Returns: whether there may be more.
    private func append(_ lines: Lines, _ state: inout State) throws -> Bool {
        guard !lines.bytes.isEmpty else { return false }
        try write(lines.bytes, &state)
        state.position = lines.position
        return true
    }

    /// The next lines that the store had when the process began.
    private func stored(after position: Position, upTo found: Position, _ db: Database) throws -> Lines {
        var lines = Lines(position: position)
        guard isBehind(position, found) else { return lines }
        var checkpoints = try Checkpoint.fetch(
            db,
            """
            SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE number > ? AND number <= ? ORDER BY number LIMIT ?
            """, [position.checkpoint, found.checkpoint, Self.batch])[...]
        func appendCheckpoints(upTo record: Int64) {
            while let checkpoint = checkpoints.first, checkpoint.sequence <= record {
                lines.append(checkpoint)
                checkpoints = checkpoints.dropFirst()
            }
        }
        appendCheckpoints(upTo: position.record)
        var columns = AuditColumns(time: 0)
        let statement = try db.cachedStatement(sql: AuditReading.selection + " LIMIT \(Self.batch)")
        try statement.rows(binding: { $0.integer(position.record) }) { row in
            guard row.integer(0) <= found.record, AuditMark.numbers.contains(row.integer(0)) else { return false }
            columns.read(row)
            lines.append(row.integer(0), columns, hash: row.bytes(AuditReading.hashColumn))
            appendCheckpoints(upTo: row.integer(0))
            return true
        }
        return lines
    }

    /// Finds out where the file has come to: by its last record and its last checkpoint, if the store has them; where the
    /// file does not say it, by what the store noted last. Where the store has another one, or none although it is not so old
    /// that it was archived, the two contradict each other, unless the store was restored since; also where the store notes
    /// what there never was.
    /// - Parameter end: beyond it there is nothing that this process knows of.
    private func locate(_ state: inout State, _ stored: Position, _ end: Position, _ db: Database) throws {
        (state.position, state.contradiction) = (stored, nil)
        guard stored.isWithin(end) else {
            // Whoever looks and moves the file away gets a new one with all that there is.
            state.position = .none
            return contradict(&state, Self.contradiction(ofNoted: stored))
        }
        guard let file = state.file, file.length > 0 else { return }
        let begins = try AuditReading.archived(db)?.checkpoint
        var (contradiction, generation): (AuditFinding?, Int?) = (nil, nil)
        var (last, least, checkpoint): (Int64?, Int64?, Int64?) = (nil, nil, nil)
        for line in try tail(of: file).split(separator: UInt8(ascii: "\n")).reversed() {
            guard let object = try? JSONReader.readObject(Array(line), depth: AuditLine.maximumDepth) else { continue }
            if let found = Checkpoint(object) {
                generation = found.generation
                if contradiction != nil { break }
                if try found.number <= end.checkpoint && has(found, db) {
                    checkpoint = checkpoint ?? found.number
                    if last != nil { break }
                } else if found.number > begins?.number ?? 0 {
                    contradiction = Self.contradiction("checkpoint \(found.number)", found.sequence)
                    break
                }
            } else if contradiction == nil, let record = try? AuditLine.record(of: object), let hash = record.hash {
                least = record.sequence
                guard last == nil else { continue }
                let mark = AuditMark(sequence: record.sequence, hash: hash)
                if record.sequence <= end.record,
                    try AuditReading.marks(db, after: record.sequence - 1, limit: 1).first == mark
                {
                    last = record.sequence
                    if checkpoint != nil { break }
                } else if record.sequence < begins?.sequence ?? 0 {
                    // Archived long ago: there is nothing to compare it with.
                    break
                } else {
                    contradiction = Self.contradiction("record \(record.sequence)", record.sequence)
                }
            }
        }
        guard let contradiction else {
            if let last { state.position.record = last }
            if let checkpoint {
                state.position.checkpoint = checkpoint
            } else if let least, last != nil {
                // Those of records before it went into the file before it did.
                let before = try Int64.fetchOne(
                    db, sql: "SELECT max(number) FROM audit_checkpoints WHERE sequence < ?", arguments: [least])
                state.position.checkpoint = max(0, min(stored.checkpoint, before ?? 0))
            }
            return
        }
        if try isRestored(since: generation ?? 1, db) { return log(contradiction) }
        contradict(&state, contradiction)
    }

    private func contradict(_ state: inout State, _ finding: AuditFinding) {
        log(finding)
        state.contradiction = finding
    }

    private func log(_ finding: AuditFinding) {
        logger.error(
            "the audit file ends with what the store does not have: `daypass audit verify --against` it",
            metadata: ["file": "\(path)", "finding": "\(finding.message)"])
    }

    /// Whether the store is of a later generation, and a record behind all checkpoints of earlier ones says that it was
    /// restored to that.
    private func isRestored(since generation: Int, _ db: Database) throws -> Bool {
        let current = try StoreGeneration(db).number
        guard current > generation else { return false }
        var isRecorded = false
        let statement = try db.makeStatement(
            sql: """
                SELECT details FROM audit WHERE kind = ? AND sequence > \
                (SELECT coalesce(max(sequence), 0) FROM audit_checkpoints WHERE generation < ?) ORDER BY sequence
                """)
        let bind = { (binder: inout Binder) in
            binder.text(AuditEvent.Kind.storeRestored.rawValue)
            binder.integer(Int64(current))
        }
        try statement.rows(binding: bind) { row in
            let details = row.bytes(0).flatMap { try? JSONReader.readObject($0, depth: AuditLine.detailsDepth) }
            isRecorded = details?["to_generation"]?.number == Double(current)
            return !isRecorded
        }
        return isRecorded
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

    private static func contradiction(ofNoted position: Position) -> AuditFinding {
        AuditFinding(
            .forked, 0,
            "the store says that audit.file has record \(position.record) and checkpoint \(position.checkpoint), which "
                + "there never were: the store was set back or altered, and nothing is granted until somebody has looked "
                + "and moved the file away")
    }
}

import Broker
import GRDB
import JOSE

/// How far the file has come, and what is to go into it.
extension AuditSink {
    struct Position: Sendable, Hashable {
        var record: Int64
        var checkpoint: Int64

        static let none = Position(record: 0, checkpoint: 0)

        func has(_ entry: Entry) -> Bool {
            switch entry {
            case .record(let mark, _): mark.sequence <= record
            case .checkpoint(let made): made.number <= checkpoint
            }
        }

        /// Whether a file can have come so far that has nothing beyond `end`.
        func isWithin(_ end: Position) -> Bool {
            (0...max(0, end.record)).contains(record) && (0...max(0, end.checkpoint)).contains(checkpoint)
        }
    }

    /// What this process made.
    enum Entry: Sendable {
        case record(AuditMark, AuditColumns)
        case checkpoint(Checkpoint)
    }

    /// What the process knows by its own memory. Rows of the store beyond `found` that it did not make are somebody else's,
    /// and do not get into the file.
    struct Known: Sendable {
        /// Up to there the file gets what the store has.
        let found: Position
        let end: Position
        /// Behind `found`.
        let entries: [Entry]
    }

    /// Some of what is to go into it, and how far it has come then.
    struct Lines {
        var bytes: [UInt8] = []
        var position: Position

        mutating func append(_ sequence: Int64, _ columns: AuditColumns, hash: [UInt8]?) {
            AuditLine.append(sequence, columns, hash: hash, to: &bytes)
            position.record = sequence
        }

        mutating func append(_ checkpoint: Checkpoint) {
            bytes += checkpoint.json.encoded()
            bytes.append(UInt8(ascii: "\n"))
            position.checkpoint = checkpoint.number
        }
    }

    /// The next lines of what this process made.
    static func remembered(_ entries: [Entry], after position: Position, atMost limit: Int) -> Lines {
        var lines = Lines(position: position)
        for entry in entries.lazy.filter({ !position.has($0) }).prefix(limit) {
            switch entry {
            case .record(let mark, let columns): lines.append(mark.sequence, columns, hash: mark.hash)
            case .checkpoint(let checkpoint): lines.append(checkpoint)
            }
        }
        return lines
    }

    /// What is no number is beyond everything.
    static func storedPosition(_ db: Database) throws -> Position {
        guard let row = try Row.fetchOne(db, sql: "SELECT sequence, checkpoint FROM audit_sink") else { return .none }
        func number(_ column: Int) -> Int64 {
            if case .int64(let number) = (row[column] as DatabaseValue).storage { number } else { .max }
        }
        return Position(record: number(0), checkpoint: number(1))
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

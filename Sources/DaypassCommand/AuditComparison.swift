import BrokerClient
import FoundationEssentials

/// Compares what a file says of the audit trail with what the store has.
struct AuditComparison {
    private static let page = 10_000
    private static let linePage = 1000

    private let client: AdministrationClient
    private(set) var records = 0
    private(set) var checkpoints = 0
    /// Of records that the store has no more.
    private(set) var older = 0
    /// The hashes of a part of the store's records, and which part it is: behind the one number up to the other.
    private var hashes: [Int: String] = [:]
    private var part: (after: Int, last: Int)?
    /// The signatures of the checkpoints of that part, by their numbers.
    private var signatures: [Int: String] = [:]
    /// The lines of some of the store's records, and which.
    private var lines: [Int: ArraySlice<UInt8>] = [:]
    private var linesPart: (after: Int, last: Int)?
    /// The first record that the store has; nil where it has none.
    private var first: Int?

    init(_ client: AdministrationClient) {
        self.client = client
    }

    /// The first line that the store contradicts, in words; nil where it contradicts none.
    mutating func finding(in lines: AuditLines) async throws -> String? {
        do {
            try await load(after: 0)
            first = hashes.keys.min()
            while let entry = try lines.next() {
                if let finding = try await finding(entry, lines.path) { return finding }
            }
        } catch AuditLines.Failure.line(let number, let why) {
            return "\(lines.path): line \(number) \(why)"
        } catch AuditLines.Failure.file(let why) {
            return "\(lines.path): \(why)"
        }
        guard records + checkpoints + older > 0 else { return "\(lines.path): there is no record in it" }
        return nil
    }

    private mutating func finding(_ entry: AuditLines.Entry, _ path: String) async throws -> String? {
        if let first, entry.sequence < first {
            older += 1
            return nil
        }
        let what =
            "\(path), line \(entry.line): \(entry.checkpoint == nil ? "" : "a checkpoint behind ")record \(entry.sequence)"
        if !covers(entry.sequence) { try await load(after: entry.sequence - 1) }
        guard let hash = hashes[entry.sequence] else {
            guard try await hasLater(than: entry.sequence) else {
                return
                    "\(what) is not in the store, which ends before it: the store was set back, or restored from a backup"
            }
            return "\(what) is not in the store, although later ones are"
        }
        guard hash == entry.hash else {
            return "\(what) is another one in the store: from there on the two part, or one of them was altered"
        }
        if let checkpoint = entry.checkpoint {
            guard signatures[checkpoint.number] == checkpoint.signature else {
                return
                    "\(path), line \(entry.line): checkpoint \(checkpoint.number) is not in the store, or another one"
            }
            checkpoints += 1
            return nil
        }
        guard try await isSame(entry) else {
            return "\(what) has the hash of the one in the store and other contents: it was altered in the file"
        }
        records += 1
        return nil
    }

    /// Whether all that the store has of the record is in the line, whatever else is in it.
    private mutating func isSame(_ entry: AuditLines.Entry) async throws -> Bool {
        if !(linesPart.map { entry.sequence > $0.after && entry.sequence <= $0.last } ?? false) {
            try await loadLines(after: entry.sequence - 1)
        }
        // Archived meanwhile, or what the chain begins behind.
        guard let line = lines[entry.sequence], line != entry.bytes else { return true }
        guard case .object(let ours) = try? JSON(parsing: Data(line)),
            case .object(let theirs) = try? JSON(parsing: Data(entry.bytes))
        else { return false }
        return ours.allSatisfy { theirs[$0.key] == $0.value }
    }

    private mutating func loadLines(after sequence: Int) async throws {
        let answer = try await client.lines(
            "audit/export", [("after", String(sequence)), ("limit", String(Self.linePage))])
        lines = [:]
        for line in answer.bytes.split(separator: UInt8(ascii: "\n")) {
            guard let number = AuditLines.sequence(of: line) else {
                throw ClientFailure.unreadable("the broker's records cannot be read")
            }
            lines[number] = line
        }
        linesPart = (sequence, max(answer.next, lines.keys.max() ?? sequence))
    }

    private func covers(_ sequence: Int) -> Bool {
        part.map { sequence > $0.after && sequence <= $0.last } ?? false
    }

    private func hasLater(than sequence: Int) async throws -> Bool {
        let later = try await client.get("audit/hashes", [("after", String(sequence)), ("limit", "1")])
        return !later.list("records").isEmpty
    }

    private mutating func load(after sequence: Int) async throws {
        let query = [("after", String(sequence)), ("limit", String(Self.page))]
        let answer = try await client.get("audit/hashes", query)
        let records = answer.list("records")
        hashes = [:]
        for record in records {
            guard let number = record["sequence"]?.count, let hash = record["hash"]?.text else {
                throw ClientFailure.unreadable("the broker's hashes cannot be read")
            }
            hashes[number] = hash
        }
        signatures = [:]
        for checkpoint in answer.list("checkpoints") {
            guard let number = checkpoint["checkpoint"]?.count, let signature = checkpoint["signature"]?.text else {
                throw ClientFailure.unreadable("the broker's checkpoints cannot be read")
            }
            signatures[number] = signature
        }
        part = hashes.keys.max().map { (sequence, $0) }
    }

    var summary: String {
        let older = older == 0 ? "" : ", and \(older) older than what the store has, which were not compared"
        return "the same in the file: \(AuditVerify.counted(records, "record")), "
            + "\(AuditVerify.counted(checkpoints, "checkpoint"))\(older)"
    }

    var json: JSON {
        .object([
            "records": .integer(Int64(records)), "checkpoints": .integer(Int64(checkpoints)),
            "older": .integer(Int64(older)),
        ])
    }
}

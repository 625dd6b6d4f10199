import BrokerClient
import FoundationEssentials

/// Compares what a file says of the audit trail with what the store has: to the byte, since the broker wrote both.
struct AuditComparison {
    private static let page = 10_000
    private static let linePage = 1000

    private let client: AdministrationClient
    private(set) var records = 0
    private(set) var checkpoints = 0
    /// Of records that the store has no more.
    private(set) var older = 0
    /// Records of the store that the file lacks, between its first and its last.
    private(set) var lacking = 0
    /// What the store contradicts; nil where nothing.
    private(set) var finding: String?
    /// The hashes of a part of the store's records, the numbers of these ascending, and which part it is: behind the one
    /// number up to the other.
    private var hashes: [Int: String] = [:]
    private var numbers: [Int] = []
    private var part: (after: Int, last: Int)?
    /// The lines of the checkpoints of that part, by their numbers.
    private var checkpointLines: [Int: [UInt8]] = [:]
    /// The lines of some of the store's records, and which.
    private var lines: [Int: ArraySlice<UInt8>] = [:]
    private var linesPart: (after: Int, last: Int)?
    /// The first record that the store has; nil where it has none.
    private var first: Int?
    /// The record and the checkpoint of the file that were compared last.
    private var last: Int?
    private var lastCheckpoint: Int?

    init(_ client: AdministrationClient) {
        self.client = client
    }

    /// Compares all of them; `finding` is the first line that the store contradicts.
    mutating func compare(_ lines: AuditLines) async throws {
        do {
            try await load(after: 0)
            first = numbers.first
            while finding == nil, let entry = try lines.next() { finding = try await contradiction(entry, lines.path) }
        } catch AuditLines.Failure.line(let number, let why) {
            finding = "\(lines.path): line \(number) \(why)"
        } catch AuditLines.Failure.file(let why) {
            finding = "\(lines.path): \(why)"
        }
        if records + checkpoints + older == 0 { finding = finding ?? "\(lines.path): there is no record in it" }
    }

    private mutating func contradiction(_ entry: AuditLines.Entry, _ path: String) async throws -> String? {
        if let first, entry.sequence < first {
            older += 1
            return nil
        }
        let place = "\(path), line \(entry.line): "
        let what = "\(place)\(entry.checkpoint == nil ? "" : "a checkpoint behind ")record \(entry.sequence)"
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
        guard let checkpoint = entry.checkpoint else { return try await contradiction(inRecord: entry, what, place) }
        return try await contradiction(inCheckpoint: checkpoint, entry, place)
    }

    private mutating func contradiction(
        inRecord entry: AuditLines.Entry, _ what: String, _ place: String
    ) async throws -> String? {
        if let last {
            guard entry.sequence > last else {
                return "\(place)record \(entry.sequence) stands behind record \(last): lines were moved or put in"
            }
            lacking += try await count(between: last, and: entry.sequence)
        }
        guard try await isSame(entry) else {
            return "\(what) has the hash of the one in the store and other contents: it was altered in the file"
        }
        last = entry.sequence
        records += 1
        return nil
    }

    /// A file with checkpoints is one in which the broker leaves nothing out.
    private mutating func contradiction(
        inCheckpoint number: Int, _ entry: AuditLines.Entry, _ place: String
    ) async throws -> String? {
        guard checkpointLines[number].map({ entry.bytes.elementsEqual($0) }) == true else {
            return "\(place)checkpoint \(number) is not in the store, or another one"
        }
        if let lastCheckpoint, number > lastCheckpoint + 1 {
            return
                "\(place)checkpoint \(number) stands behind checkpoint \(lastCheckpoint): those between were taken out"
        }
        if let last, last < entry.sequence { lacking += try await count(between: last, and: entry.sequence + 1) }
        guard lacking == 0 else {
            return
                "\(place)\(AuditVerify.counted(lacking, "record")) before checkpoint \(number) \(lacking == 1 ? "is" : "are") not "
                + "in the file: lines were taken out"
        }
        lastCheckpoint = max(lastCheckpoint ?? 0, number)
        checkpoints += 1
        return nil
    }

    /// How many records the store has between two numbers.
    private mutating func count(between one: Int, and other: Int) async throws -> Int {
        var (count, position) = (0, one)
        while position + 1 < other {
            if !covers(position + 1) { try await load(after: position) }
            guard let part, part.last > position else { break }
            let end = min(part.last + 1, other)
            count += index(of: end) - index(of: position + 1)
            position = end - 1
        }
        return count
    }

    /// The index of the first of `numbers` that is not below `number`.
    private func index(of number: Int) -> Int {
        var (low, high) = (0, numbers.count)
        while low < high {
            let middle = (low + high) / 2
            if numbers[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Whether the line is the one that the broker writes for that record.
    private mutating func isSame(_ entry: AuditLines.Entry) async throws -> Bool {
        if !(linesPart.map { entry.sequence > $0.after && entry.sequence <= $0.last } ?? false) {
            try await loadLines(after: entry.sequence - 1)
        }
        // Archived meanwhile, or what the chain begins behind.
        return lines[entry.sequence].map { $0 == entry.bytes } ?? true
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
        (hashes, numbers) = ([:], [])
        for record in records {
            guard let number = record["sequence"]?.count, let hash = record["hash"]?.text else {
                throw ClientFailure.unreadable("the broker's hashes cannot be read")
            }
            hashes[number] = hash
            numbers.append(number)
        }
        checkpointLines = [:]
        for checkpoint in answer.list("checkpoints") {
            guard let number = checkpoint["checkpoint"]?.count, let line = checkpoint["line"]?.text else {
                throw ClientFailure.unreadable("the broker's checkpoints cannot be read")
            }
            checkpointLines[number] = Array(line.utf8)
        }
        part = numbers.last.map { (sequence, $0) }
    }

    var summary: String {
        let older = older == 0 ? "" : ", and \(older) older than what the store has, which were not compared"
        let lacking =
            lacking == 0
            ? ""
            : "; \(AuditVerify.counted(lacking, "record")) of those between its first and its last \(lacking == 1 ? "is" : "are") not in it"
        return "the same in the file: \(AuditVerify.counted(records, "record")), "
            + "\(AuditVerify.counted(checkpoints, "checkpoint"))\(older)\(lacking)"
    }

    var json: JSON {
        var members: [String: JSON] = [
            "same": .bool(finding == nil), "records": .integer(Int64(records)),
            "checkpoints": .integer(Int64(checkpoints)), "older": .integer(Int64(older)),
            "lacking": .integer(Int64(lacking)),
        ]
        if let finding { members["finding"] = .string(finding) }
        return .object(members)
    }
}

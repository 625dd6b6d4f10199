// How audit records are found by what they say, among millions, without a cost to recording: an index of SQLite's own on
// the subject would change another of its pages with each record, and doubles what a record costs. So the records are
// indexed afterwards, in segments, each of which is written at once.
import Broker
import JOSE

/// A column by which audit records are found. The numbers stand in the store.
enum AuditField: Int64, CaseIterable {
    case kind, subject, rule, session, token

    /// The column's place in `AuditRow.indexed`.
    var column: CInt { CInt(rawValue) + 2 }
}

/// One segment of the index: successive records, and for each field the values that they have.
///
/// A value stands there as 32 bits of a hash, and the record's distance from the segment's first: six bytes together,
/// sorted. What is found is only ever a candidate, and looked at.
struct AuditSegment: Sendable {
    /// How many records it has: so few that reading it costs recording nothing, so many that there are few of them.
    static let length = 1024
    /// Records beyond are not indexed: the number of a row has no room for theirs. No broker gets there.
    static let maximumNumber: Int64 = 1 << 48 - 1

    let first: Int64
    private(set) var last: Int64
    /// In milliseconds since 1970; records need not be in the order of their times.
    private(set) var earliest: Int64
    private(set) var latest: Int64
    private(set) var count = 0
    private var entries = [[UInt64]](repeating: [], count: AuditField.allCases.count)

    /// - Parameter first: 1 to `maximumNumber`.
    init(first: Int64, time: Int64) {
        (self.first, last, earliest, latest) = (first, first, time, time)
    }

    /// - Parameter hash: that of the field's value; nil where the record has none.
    /// - Returns: false where the record belongs to the next segment.
    mutating func append(_ sequence: Int64, _ time: Int64, _ hash: (AuditField) -> UInt32?) -> Bool {
        guard count < Self.length, (first...first + Int64(UInt16.max)).contains(sequence) else { return false }
        (last, earliest, latest) = (sequence, min(earliest, time), max(latest, time))
        count += 1
        for field in AuditField.allCases {
            guard let hash = hash(field) else { continue }
            entries[Int(field.rawValue)].append(UInt64(hash) << 16 | UInt64(sequence - first))
        }
        return true
    }

    /// The field's entries as they are stored.
    func encoded(_ field: AuditField) -> [UInt8] {
        let sorted = entries[Int(field.rawValue)].sorted()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(sorted.count * Self.entryLength)
        for entry in sorted {
            for shift in stride(from: 40, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: entry >> shift))
            }
        }
        return bytes
    }

    /// The distances of the records that may have the value, ascending.
    static func distances(of hash: UInt32, in entries: [UInt8]) -> [UInt16] {
        let bytes = entries.span
        let count = entries.count / entryLength
        func entry(_ index: Int) -> UInt64 {
            (0..<entryLength).reduce(0) { $0 << 8 | UInt64(bytes[index * entryLength + $1]) }
        }
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if entry(middle) >> 16 < UInt64(hash) { low = middle + 1 } else { high = middle }
        }
        var distances: [UInt16] = []
        while low < count, case let next = entry(low), next >> 16 == UInt64(hash) {
            distances.append(UInt16(truncatingIfNeeded: next))
            low += 1
        }
        return distances
    }

    /// FNV-1a, folded. Whoever makes two values meet makes his own records be looked at in vain, and no more.
    static func hash(_ value: [UInt8]) -> UInt32 {
        value.withUnsafeBytes { hash($0) }
    }

    static func hash(_ value: UnsafeRawBufferPointer) -> UInt32 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in value { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return UInt32(truncatingIfNeeded: hash >> 32 ^ hash)
    }

    private static let entryLength = 6

    /// The row's number: those of one field stand together, in the order of the records.
    static func number(_ field: AuditField, _ first: Int64) -> Int64 { field.rawValue << 48 | first }

    /// Of the record that a row begins with.
    static func first(ofRow number: Int64) -> Int64 { number & 0xFFFF_FFFF_FFFF }
}

extension AuditCondition {
    /// What the index can tell of it.
    var keys: [(field: AuditField, hash: UInt32)] {
        let values: [(AuditField, ExactString?)] = [
            (.session, session), (.token, token), (.subject, subject), (.rule, rule),
            (.kind, kind.map { ExactString($0.rawValue) }),
        ]
        return values.compactMap { field, value in
            value.map { (field, AuditSegment.hash(Array($0.utf8))) }
        }
    }
}

/// Verifies a stretch of the chain, record by record: whatever reads the records feeds it, in the order of their numbers.
///
/// A stretch begins at the beginning or behind a checkpoint. The first thing that is wrong ends it.
package struct AuditVerification {
    private let chain = AuditChain()
    private let keys: CheckpointKeys?
    /// What the broker recorded last, by its own memory; nil where it does not know.
    private let remembered: AuditMark?
    /// The last checkpoint that the broker made, by its own memory.
    private let made: Checkpoint?
    private var previous: AuditMark?
    private var lastCheckpoint: Checkpoint?
    private var unsealed: Int64 = 0
    /// The time of the first record behind the last checkpoint.
    private var waiting: Int64 = 0
    /// The first number that no record has, of those behind the last checkpoint.
    private var gap: Int64?
    private var report = AuditReport()

    /// - Parameters:
    ///   - start: the checkpoint that the stretch begins behind, which `accept` took; nil for the beginning.
    ///   - keys: nil where there are none: then no checkpoint is good.
    package init(
        after start: Checkpoint?, keys: CheckpointKeys?, remembering remembered: AuditMark?, made: Checkpoint? = nil
    ) {
        self.keys = keys
        self.remembered = remembered
        self.made = made
        lastCheckpoint = start
        previous = start.map { AuditMark(sequence: $0.sequence, hash: $0.hash) }
    }

    /// - Parameters:
    ///   - hash: as it is stored; nil where there is none.
    ///   - columns: see `AuditColumns`.
    package mutating func check(
        _ sequence: Int64, hash: Span<UInt8>?, _ columns: [UInt8]
    ) -> AuditFinding? {
        guard AuditMark.numbers.contains(sequence) else {
            return AuditFinding(.altered, sequence, "record \(sequence) has a number that no broker gives")
        }
        let before = previous?.hash ?? AuditChain.start
        let expected = chain.hash(after: before, sequence: sequence, columns)
        guard let hash, Self.areEqual(hash, expected.span) else {
            if let previous, sequence > previous.sequence + 1 {
                return AuditFinding(.missing, previous.sequence + 1, "record \(previous.sequence + 1) is missing")
            }
            return AuditFinding(
                .altered, sequence,
                previous == nil
                    ? "record \(sequence) is not the first that was recorded: it was altered, or those before it are gone"
                    : "record \(sequence) is not what was recorded: it was altered, moved or put in")
        }
        if let remembered, remembered.sequence == sequence, remembered.hash != expected {
            return AuditFinding(
                .forked, sequence, "record \(sequence) is another one than this broker recorded under that number")
        }
        if let previous, sequence > previous.sequence + 1 { gap = gap ?? previous.sequence + 1 }
        previous = AuditMark(sequence: sequence, hash: expected)
        report.first = report.first ?? sequence
        report.records += 1
        if unsealed == 0 { waiting = Self.time(columns) }
        unsealed += 1
        return nil
    }

    /// The next checkpoint, once the record that it was made behind was checked, or will not come any more.
    package mutating func check(_ checkpoint: Checkpoint) -> AuditFinding? {
        let number = (lastCheckpoint?.number ?? 0) + 1
        guard checkpoint.number == number else {
            return AuditFinding(.checkpoint, checkpoint.sequence, "checkpoint \(number) is missing")
        }
        guard keys?.didSign(checkpoint) == true else {
            return AuditFinding(
                .checkpoint, checkpoint.sequence, "checkpoint \(number) is not signed by a checkpoint key of this store"
            )
        }
        if let made, made.number == number, made != checkpoint {
            return AuditFinding(
                .forked, checkpoint.sequence, "checkpoint \(number) is another one than this broker made")
        }
        guard checkpoint.previous == lastCheckpoint?.digest ?? AuditChain.start else {
            return AuditFinding(
                .checkpoint, checkpoint.sequence, "checkpoint \(number) does not follow the one before it")
        }
        guard let previous, previous.sequence >= checkpoint.sequence else {
            let next = (previous?.sequence ?? 0) + 1
            return AuditFinding(
                .missing, next,
                "record \(next) is missing, and all up to record \(checkpoint.sequence), behind which checkpoint \(number) "
                    + "was made")
        }
        guard previous.sequence == checkpoint.sequence else {
            return AuditFinding(
                .missing, checkpoint.sequence,
                "record \(checkpoint.sequence), behind which checkpoint \(number) was made, is missing")
        }
        guard previous.hash == checkpoint.hash, checkpoint.count == (lastCheckpoint?.count ?? 0) + unsealed,
            checkpoint.generation >= lastCheckpoint?.generation ?? 0
        else {
            let first = (lastCheckpoint?.sequence ?? 0) + 1
            return AuditFinding(
                .rewritten, first,
                "one of the records \(first) to \(checkpoint.sequence) is not what was recorded: they were chained anew and "
                    + "do not lead to checkpoint \(number)")
        }
        if Self.isLate(checkpoint.time, behind: waiting) {
            report.late += unsealed
            report.firstLate = report.firstLate ?? number
        }
        lastCheckpoint = checkpoint
        report.checkpoints += 1
        unsealed = 0
        gap = nil
        return nil
    }

    /// When the last record and the last checkpoint were checked.
    /// - Parameter given: the highest number that the store ever gave to a record; nil where it does not say.
    package func checkEnd(given: Int64? = nil) -> AuditFinding? {
        let next = (previous?.sequence ?? 0) + 1
        if let remembered, remembered.sequence >= next {
            return AuditFinding(
                .missing, next,
                "record \(next) is missing, and all up to record \(remembered.sequence), which this broker recorded last"
            )
        }
        if let made, made.number > lastCheckpoint?.number ?? 0 {
            return AuditFinding(
                .checkpoint, made.sequence, "checkpoint \(made.number) is missing, which this broker made")
        }
        // The broker leaves none. A store from before there were checkpoints may have some, in front of its first.
        if let gap, lastCheckpoint != nil {
            return AuditFinding(.missing, gap, "record \(gap) is missing, and those behind it were chained anew")
        }
        // A transaction that was taken back takes its numbers back as well.
        guard let given, given >= next else { return nil }
        return AuditFinding(
            .missing, next, "record \(next) is missing, and all up to record \(given), the last number that was given")
    }

    /// What a stretch up to the end says before anything new is signed: a broker that has had keys leaves no more records
    /// behind its last checkpoint than the rhythm has.
    /// - Parameter own: how many of them this process may have made.
    package func checkUnsealed(own: Int64 = 0) -> AuditFinding? {
        let first = (lastCheckpoint?.sequence ?? 0) + 1
        guard lastCheckpoint != nil else {
            return AuditFinding(.checkpoint, first, "there is no checkpoint, although there is a checkpoint key")
        }
        guard unsealed > CheckpointRhythm.records, unsealed - own > CheckpointRhythm.records else { return nil }
        return AuditFinding(
            .checkpoint, first,
            "\(unsealed) records stand behind the last checkpoint: a broker leaves \(CheckpointRhythm.records) at most")
    }

    /// What was found out.
    /// - Parameter next: the checkpoint behind which the next stretch begins; nil at the end of the chain.
    package func report(_ finding: AuditFinding?, next: Int64?) -> AuditReport {
        var report = report
        report.last = previous
        report.lastCheckpoint = lastCheckpoint
        report.unsealed = unsealed
        report.waiting = unsealed > 0 ? waiting : nil
        report.finding = finding
        report.next = finding == nil ? next : nil
        return report
    }

    /// Whether a checkpoint of that time was made later behind a record than a broker that runs makes one.
    package static func isLate(_ time: Int64, behind record: Int64) -> Bool {
        let (difference, overflow) = time.subtractingReportingOverflow(record)
        return overflow ? time > record : difference > CheckpointRhythm.latest
    }

    /// That of a record: see `AuditColumns`.
    private static func time(_ columns: [UInt8]) -> Int64 {
        Int64(bitPattern: columns.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    private static func areEqual(_ one: Span<UInt8>, _ other: Span<UInt8>) -> Bool {
        guard one.count == other.count else { return false }
        for index in one.indices where one[index] != other[index] { return false }
        return true
    }
}

/// A record, by its number and its hash.
package struct AuditMark: Sendable, Hashable {
    package let sequence: Int64
    /// 32 bytes.
    package let hash: [UInt8]

    /// Those that a broker gives to records: JSON has them exactly.
    package static let numbers: ClosedRange<Int64> = 1...(1 << 53) - 1

    package init(sequence: Int64, hash: [UInt8]) {
        self.sequence = sequence
        self.hash = hash
    }
}

/// The first thing that is wrong with a chain.
package struct AuditFinding: Sendable, Hashable {
    package enum Kind: String, Sendable, CaseIterable {
        /// A record is not what was recorded.
        case altered
        /// One or more are not there.
        case missing
        /// Records were altered and chained anew.
        case rewritten
        /// A checkpoint is missing or not one of ours.
        case checkpoint
        /// A record is another one than the broker recorded under its number.
        case forked
    }

    package let kind: Kind
    /// The first record that is wrong, or may be.
    package let sequence: Int64
    package let message: String

    package init(_ kind: Kind, _ sequence: Int64, _ message: String) {
        self.kind = kind
        self.sequence = sequence
        self.message = message
    }
}

/// What verifying a stretch of the chain came to.
package struct AuditReport: Sendable, Hashable {
    /// How many records were checked.
    package fileprivate(set) var records: Int64 = 0
    package fileprivate(set) var checkpoints: Int64 = 0
    /// The first record that was checked.
    package fileprivate(set) var first: Int64?
    package fileprivate(set) var last: AuditMark?
    package fileprivate(set) var lastCheckpoint: Checkpoint?
    /// How many records stand behind the last checkpoint.
    package fileprivate(set) var unsealed: Int64 = 0
    /// The time of the first of these, in milliseconds since 1970; nil where there is none.
    package fileprivate(set) var waiting: Int64?
    /// How many records had no checkpoint behind them for longer than a broker that runs leaves them without. In that time
    /// they could be altered without a trace in the store.
    package fileprivate(set) var late: Int64 = 0
    /// The first checkpoint behind such records.
    package fileprivate(set) var firstLate: Int64?
    /// Nil where all is well.
    package fileprivate(set) var finding: AuditFinding?
    /// The checkpoint behind which the next stretch begins; nil at the end.
    package fileprivate(set) var next: Int64?

    package init() {}

    /// Nothing was checked, for that reason.
    package init(_ finding: AuditFinding) {
        self.finding = finding
    }

    /// Itself where something is wrong already, else with that finding.
    package func with(_ finding: AuditFinding?) -> AuditReport {
        guard self.finding == nil, let finding else { return self }
        var report = self
        report.finding = finding
        report.next = nil
        return report
    }
}

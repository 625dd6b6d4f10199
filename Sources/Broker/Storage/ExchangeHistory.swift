package import FoundationEssentials

/// Where the exchanges that were recorded are read again.
package protocol ExchangeHistory: Sendable {
    /// Hands the records of exchanges that were granted or refused to `body`, in the order of recording, until it returns
    /// false. What is recorded meanwhile is not held up.
    ///
    /// `body` runs where it may take its time, not on the pool of Swift's tasks.
    /// - Returns: what `body` made of `state`, and where to go on; nil at the end.
    /// - Throws: `.unavailable` where the store cannot be read, `.unreadable` where a record cannot.
    func exchanges<State: Sendable>(
        _ part: HistoryPart, into state: State, _ body: @escaping @Sendable (inout State, AuditEvent) -> Bool
    ) async throws(StoreFailure) -> (state: State, next: HistoryPosition?)
}

/// Which records are read.
package struct HistoryPart: Sendable {
    /// By their time: from `since` on, and before `until` where that is set.
    package var since: Date
    package var until: Date?
    /// Nil for the beginning.
    package var position: HistoryPosition?
    /// How many rows are looked at, at most, those of other kinds among them; at least 1.
    package var limit: Int

    package init(since: Date, until: Date? = nil, position: HistoryPosition? = nil, limit: Int = 100_000) {
        self.since = since
        self.until = until
        self.position = position
        self.limit = max(1, limit)
    }
}

/// Behind which record a part ends, and which was the last one when reading began: what is recorded later is not read.
package struct HistoryPosition: Sendable, Hashable, CustomStringConvertible {
    package let done: Int64
    package let last: Int64

    package init(done: Int64, last: Int64) {
        self.done = done
        self.last = last
    }

    /// - Returns: nil where it is not as `description` has it.
    package init?(parsing text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        guard parts.count == 2, let done = parts[0], let last = parts[1], (0...last).contains(done),
            text == "\(done)-\(last)"
        else { return nil }
        self.init(done: done, last: last)
    }

    package var description: String { "\(done)-\(last)" }
}

package import FoundationEssentials
package import JOSE

/// What happens to the signing keys in one transaction.
package struct KeyRingChange: Sendable {
    package struct Move: Sendable, Hashable {
        package let keyID: ExactString
        package let before: SigningKeyRecord.State
        package let after: SigningKeyRecord.State

        package init(_ keyID: ExactString, from before: SigningKeyRecord.State, to after: SigningKeyRecord.State) {
            self.keyID = keyID
            self.before = before
            self.after = after
        }
    }

    /// In this order no moment between two of them has two active keys, or two staged ones.
    package let moves: [Move]
    /// New keys, added when everything has moved.
    package let added: [SigningKeyRecord]
    package let time: Date

    package init(_ moves: [Move], adding added: [SigningKeyRecord] = [], at time: Date) {
        // Keys make place before others take it.
        self.moves = moves.filter { $0.after != .active } + moves.filter { $0.after == .active }
        self.added = added
        self.time = time
    }

    /// The keys as they are after the change.
    /// - Returns: nil where a key is not in the state that it is to leave, or may not go where it is sent, or where not
    ///   exactly one key would be active and at most one staged.
    package func applied(to records: [SigningKeyRecord]) -> [SigningKeyRecord]? {
        var records = records
        for move in moves {
            guard let index = records.firstIndex(where: { $0.keyID == move.keyID }),
                records[index].state == move.before, move.before.mayBecome(move.after)
            else { return nil }
            records[index] = records[index].moved(to: move.after, at: time)
        }
        records += added
        guard Set(records.map(\.keyID)).count == records.count, records.count(where: { $0.state == .active }) == 1,
            records.count(where: { $0.state == .staged }) <= 1
        else { return nil }
        return records
    }

    /// Whether these are keys to which it was applied.
    package func isApplied(in records: [SigningKeyRecord]) -> Bool {
        let states = Dictionary(records.map { ($0.keyID, $0.state) }) { first, _ in first }
        return moves.allSatisfy { states[$0.keyID] == $0.after } && added.allSatisfy { states[$0.keyID] == $0.state }
    }

    /// For the audit record: each key with its states before and after.
    package var json: JSONValue {
        .array(
            moves.map { move in
                [
                    "key": .string(move.keyID), "before": .string(ExactString(move.before.rawValue)),
                    "after": .string(ExactString(move.after.rawValue)),
                ]
            }
                + added.map { key in
                    [
                        "key": .string(key.keyID), "before": .null, "after": .string(ExactString(key.state.rawValue)),
                        "algorithm": .string(ExactString(key.algorithm.rawValue)),
                    ]
                })
    }
}

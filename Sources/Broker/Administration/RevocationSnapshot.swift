/// What is in force at one moment.
package struct RevocationSnapshot: Sendable {
    /// By ascending number.
    package let revocations: [Revocation]
    package let highest: UInt64
    let pruned: Int
    /// What numbers of events are told apart by: in another process, and after a block was lifted, what was sent before
    /// is no longer all there is to know.
    package let edition: String
    /// How many changes of this process there were before: of two, the one with more is the later.
    package let change: UInt64

    /// Another one for each other content.
    package var tag: String { "\(edition)-\(highest)-\(pruned)" }

    /// Those above a number.
    package func after(_ sequence: UInt64) -> ArraySlice<Revocation> {
        revocations[revocations.index(of: sequence + 1)...]
    }
}

extension [Revocation] {
    /// Of the first one with that number or a higher one; the numbers ascend.
    func index(of sequence: UInt64) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle].sequence >= sequence { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

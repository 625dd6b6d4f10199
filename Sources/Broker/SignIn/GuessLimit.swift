import Synchronization

/// How many wrong user codes an address may type (RFC 8628 §5.1): ten in an hour, and a hundred from its whole network,
/// of which somebody may have any number of addresses. Callable from any thread.
final class GuessLimit: Sendable {
    static let perHolder = 10
    static let perNetwork = 100
    static let period: Duration = .seconds(3600)
    /// Where so many groups of addresses have typed wrong codes within the hour, nobody new may type any: who they are
    /// can no longer be kept in mind.
    static let maximumGroups = 65_536

    private struct Count {
        let start: Duration
        var wrong = 0
    }

    private let counts = Mutex<[AddressGroup: Count]>([:])

    /// Whether the address may try a code.
    func admits(_ address: IPAddress, at uptime: Duration) -> Bool {
        counts.withLock { counts in
            let groups = Self.groups(of: address)
            let isKnown = counts[groups[0].group] != nil
            if !isKnown, counts.count + 2 > Self.maximumGroups {
                counts = counts.filter { uptime - $0.value.start < Self.period }
                guard counts.count + 2 <= Self.maximumGroups else { return false }
            }
            return groups.allSatisfy { group, limit in
                guard let count = counts[group], uptime - count.start < Self.period else { return true }
                return count.wrong < limit
            }
        }
    }

    /// Counts a wrong code.
    func note(_ address: IPAddress, at uptime: Duration) {
        counts.withLock { counts in
            for (group, _) in Self.groups(of: address) {
                var count = counts[group] ?? Count(start: uptime)
                if uptime - count.start >= Self.period { count = Count(start: uptime) }
                count.wrong += 1
                counts[group] = count
            }
        }
    }

    private static func groups(of address: IPAddress) -> [(group: AddressGroup, limit: Int)] {
        [
            (AddressGroup(holderOf: address), perHolder), (AddressGroup(networkOf: address), perNetwork),
        ]
    }
}

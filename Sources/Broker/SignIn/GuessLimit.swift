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

    /// Counts a code that the address types as a wrong one.
    /// - Returns: false where it may type none any more.
    func take(_ address: IPAddress, at uptime: Duration) -> Bool {
        counts.withLock { counts in
            let groups = Self.groups(of: address)
            if counts[groups[0].group] == nil, counts.count + 2 > Self.maximumGroups {
                counts = counts.filter { uptime - $0.value.start < Self.period }
                guard counts.count + 2 <= Self.maximumGroups else { return false }
            }
            var next: [(AddressGroup, Count)] = []
            for (group, limit) in groups {
                var count = counts[group] ?? Count(start: uptime)
                if uptime - count.start >= Self.period { count = Count(start: uptime) }
                guard count.wrong < limit else { return false }
                count.wrong += 1
                next.append((group, count))
            }
            for (group, count) in next { counts[group] = count }
            return true
        }
    }

    /// Of a code that was right.
    func giveBack(_ address: IPAddress) {
        counts.withLock { counts in
            for (group, _) in Self.groups(of: address) {
                guard var count = counts[group] else { continue }
                count.wrong -= 1
                counts[group] = count.wrong > 0 ? count : nil
            }
        }
    }

    private static func groups(of address: IPAddress) -> [(group: AddressGroup, limit: Int)] {
        [
            (AddressGroup(holderOf: address), perHolder), (AddressGroup(networkOf: address), perNetwork),
        ]
    }
}

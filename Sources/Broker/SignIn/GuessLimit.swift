import Synchronization

/// How many wrong user codes an address may type (RFC 8628 §5.1): ten in an hour, a hundred from its whole network, of
/// which somebody may have any number of addresses, and of IPv6 a thousand from a /32. Callable from any thread.
final class GuessLimit: Sendable {
    static let perHolder = 10
    static let perNetwork = 100
    static let perRegistration = 1000
    static let period: Duration = .seconds(3600)
    /// Where so many groups of addresses have typed wrong codes within the hour, nobody new may type any: who they are
    /// can no longer be kept in mind.
    static let maximumGroups = 65_536

    private struct Group: Hashable {
        let addresses: AddressGroup
        let limit: Int
    }

    private struct Count {
        let start: Duration
        var wrong = 0
    }

    private let counts = Mutex<[Group: Count]>([:])

    /// Counts a code that the address types as a wrong one.
    /// - Returns: false where it may type none any more.
    func take(_ address: IPAddress, at uptime: Duration) -> Bool {
        counts.withLock { counts in
            let groups = Self.groups(of: address)
            if counts[groups[0]] == nil, counts.count + groups.count > Self.maximumGroups {
                counts = counts.filter { uptime - $0.value.start < Self.period }
                guard counts.count + groups.count <= Self.maximumGroups else { return false }
            }
            var next: [(Group, Count)] = []
            for group in groups {
                var count = counts[group] ?? Count(start: uptime)
                if uptime - count.start >= Self.period { count = Count(start: uptime) }
                guard count.wrong < group.limit else { return false }
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
            for group in Self.groups(of: address) {
                guard var count = counts[group] else { continue }
                count.wrong -= 1
                counts[group] = count.wrong > 0 ? count : nil
            }
        }
    }

    private static func groups(of address: IPAddress) -> [Group] {
        let groups = [
            Group(addresses: AddressGroup(holderOf: address), limit: perHolder),
            Group(addresses: AddressGroup(networkOf: address), limit: perNetwork),
        ]
        guard let registration = AddressGroup(registrationOf: address) else { return groups }
        return groups + [Group(addresses: registration, limit: perRegistration)]
    }
}

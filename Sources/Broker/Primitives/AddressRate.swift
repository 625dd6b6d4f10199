import Synchronization

/// How often each client address may do something: for each a bucket that holds what some seconds allow and refills
/// steadily. Callable from any thread; the bookkeeping of one event takes some tens of nanoseconds, whatever the table
/// holds.
///
/// A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm). One that is full
/// says the same as one that is not there, so the table forgets without loss. It is made of small sets, and an address
/// belongs to one of them by a hash with the process's own seed, so that nobody can choose whose set he shares. In a set
/// that has no room the bucket that is full, or will be the soonest, makes way. To be forgotten is to be forgiven: whoever
/// floods the table with addresses takes nothing from anybody, gets no more than these addresses are worth, and whoever is
/// over the limit is forgotten last.
package final class AddressRate: Sendable {
    static let bucketsPerSet = 8

    /// Nanoseconds of refilling that one event costs.
    private let cost: Int64
    /// Nanoseconds of refilling that an empty bucket takes.
    private let depth: Int64
    private let sets: Int
    private let shards: [Shard]

    /// - Parameters:
    ///   - perSecond: 1 to 1,000,000.
    ///   - burst: how many seconds' worth an address may have at once, 1 to 60.
    ///   - sets: of 8 addresses each: 65,536 together, 2 MiB.
    ///   - shards: with a lock each; a divisor of `sets`.
    package init(perSecond: Int, burst: Int = 1, sets: Int = 8192, shards: Int = 16) {
        precondition(
            (1...1_000_000).contains(perSecond) && (1...60).contains(burst) && sets % shards == 0, "no such limit")
        cost = Self.second / Int64(perSecond)
        depth = Self.second * Int64(burst)
        self.sets = sets
        self.shards = (0..<shards).map { _ in Shard(sets: sets / shards) }
    }

    /// Whether an event at `uptime` is within the limit; it is counted if it is. One that is not waits at most a second
    /// for the next that is.
    package func admits(_ holder: AddressGroup, at uptime: Duration) -> Bool {
        let now = Self.nanoseconds(uptime)
        return withSet(of: holder) { buckets, range in
            let known = range.first { buckets[$0].holder == holder }
            let fullAt = known.map { max(buckets[$0].fullAt, now) } ?? now
            guard fullAt + cost <= now + depth else { return false }
            buckets[known ?? Self.nearestToFull(buckets, range)] = Bucket(holder: holder, fullAt: fullAt + cost)
            return true
        }
    }

    /// Whether one more event would be within the limit; nothing is counted.
    package func hasRoom(for holder: AddressGroup, at uptime: Duration) -> Bool {
        let now = Self.nanoseconds(uptime)
        return withSet(of: holder) { buckets, range in
            guard let known = range.first(where: { buckets[$0].holder == holder }) else { return true }
            return max(buckets[known].fullAt, now) + cost <= now + depth
        }
    }

    /// Counts an event that has happened, also beyond the limit: the bucket is then empty, and never emptier than that.
    package func note(_ holder: AddressGroup, at uptime: Duration) {
        let now = Self.nanoseconds(uptime)
        withSet(of: holder) { buckets, range in
            let known = range.first { buckets[$0].holder == holder }
            let fullAt = min((known.map { max(buckets[$0].fullAt, now) } ?? now) + cost, now + depth)
            buckets[known ?? Self.nearestToFull(buckets, range)] = Bucket(holder: holder, fullAt: fullAt)
        }
    }

    private static let second: Int64 = 1_000_000_000

    private struct Bucket {
        var holder: AddressGroup?
        /// In nanoseconds of the uptime.
        var fullAt = Int64.min
    }

    private final class Shard: Sendable {
        let buckets: Mutex<[Bucket]>

        init(sets: Int) {
            buckets = Mutex(Array(repeating: Bucket(), count: sets * AddressRate.bucketsPerSet))
        }
    }

    private func withSet<Value: Sendable>(
        of holder: AddressGroup, _ body: (inout [Bucket], Range<Int>) -> Value
    ) -> Value {
        let set = Int(UInt(bitPattern: holder.hashValue) % UInt(sets))
        let first = set / shards.count * Self.bucketsPerSet
        return shards[set % shards.count].buckets.withLock { body(&$0, first..<first + Self.bucketsPerSet) }
    }

    private static func nanoseconds(_ uptime: Duration) -> Int64 {
        uptime.components.seconds * second + uptime.components.attoseconds / 1_000_000_000
    }

    private static func nearestToFull(_ buckets: [Bucket], _ range: Range<Int>) -> Int {
        var nearest = range.lowerBound
        for index in range where buckets[index].fullAt < buckets[nearest].fullAt { nearest = index }
        return nearest
    }
}

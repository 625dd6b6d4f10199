import Broker
import Synchronization

/// How often each client address may ask for a token: for each a bucket that holds the requests of one second and refills
/// steadily. Callable from any thread; the bookkeeping of one request takes some tens of nanoseconds, whatever the table
/// holds.
///
/// A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm). One that is full
/// says the same as one that is not there, so the table forgets without loss. It is made of small sets, and an address
/// belongs to one of them by a hash with the process's own seed, so that nobody can choose whose set he shares. In a set
/// that has no room the bucket that is full, or will be the soonest, makes way. To be forgotten is to be forgiven: whoever
/// floods the table with addresses takes nothing from anybody, gets no more than these addresses are worth, and whoever is
/// over the limit is forgotten last.
final class ExchangeRate: Sendable {
    static let bucketsPerSet = 8

    /// Nanoseconds of refilling that one request costs.
    private let cost: Int64
    private let sets: Int
    private let shards: [Shard]

    /// - Parameters:
    ///   - perSecond: 1 to 1,000,000.
    ///   - sets: of 8 addresses each: 65,536 together.
    ///   - shards: with a lock each; a divisor of `sets`.
    init(perSecond: Int, sets: Int = 8192, shards: Int = 16) {
        precondition((1...1_000_000).contains(perSecond) && sets % shards == 0, "no such limit")
        cost = Self.second / Int64(perSecond)
        self.sets = sets
        self.shards = (0..<shards).map { _ in Shard(sets: sets / shards) }
    }

    /// Whether a request at `uptime` is within the limit; it is counted if it is. One that is not waits at most a second
    /// for the next that is.
    func admits(_ holder: AddressGroup, at uptime: Duration) -> Bool {
        let set = Int(UInt(bitPattern: holder.hashValue) % UInt(sets))
        let now = uptime.components.seconds * Self.second + uptime.components.attoseconds / 1_000_000_000
        return shards[set % shards.count].buckets.withLock { buckets in
            let range = Self.range(of: set / shards.count)
            let known = range.first { buckets[$0].holder == holder }
            let fullAt = known.map { max(buckets[$0].fullAt, now) } ?? now
            guard fullAt + cost <= now + Self.second else { return false }
            let place = known ?? Self.nearestToFull(buckets, range)
            buckets[place] = Bucket(holder: holder, fullAt: fullAt + cost)
            return true
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
            buckets = Mutex(Array(repeating: Bucket(), count: sets * ExchangeRate.bucketsPerSet))
        }
    }

    private static func range(of set: Int) -> Range<Int> {
        set * bucketsPerSet..<(set + 1) * bucketsPerSet
    }

    private static func nearestToFull(_ buckets: [Bucket], _ range: Range<Int>) -> Int {
        var nearest = range.lowerBound
        for index in range where buckets[index].fullAt < buckets[nearest].fullAt { nearest = index }
        return nearest
    }
}

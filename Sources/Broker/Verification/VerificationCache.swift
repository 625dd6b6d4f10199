import JOSE
import OpenSSL
import Synchronization

/// What is remembered of gateway tokens whose signature was good: what they say, under the SHA-256 of the exact bytes that
/// were presented. Never whether they are good: expiry, revocation, scope, model and certificate are looked at each time.
///
/// Each token has a stamp, the epoch of the state that it was last looked at under. While that is the epoch of now a hit
/// costs no look at keys and revocations; after any change it is looked at again as a whole, once. Nothing depends on what is
/// forgotten, and when: whoever is not here is verified anew.
///
/// For one verifier, since what it remembers has that verifier's issuer and audiences. Callable from any thread; nothing
/// suspends. See Architecture for its bounds.
package final class VerificationCache: Sendable {
    /// Of `entries`.
    package static let sizes = 1000...10_000_000
    /// What an entry may take on average. A token of some 60 bytes of subject takes 220.
    package static let bytesPerEntry = 256
    /// What one may take at most: the claims of many actors are not worth what they would drive out.
    static let maximumCost = 8192

    private let shards: [Shard]
    /// How far the last word of a digest is shifted to choose a shard.
    private let shift: UInt64
    let grants = VerifiedGrants()
    let forgeries = KnownForgeries()
    /// At most so many tokens are kept.
    package let capacity: Int

    private final class Shard: Sendable {
        let table: Mutex<VerificationShard>

        init(_ table: VerificationShard) {
            self.table = Mutex(table)
        }
    }

    /// - Parameter entries: at most so many tokens, and 256 times as many bytes.
    package convenience init(entries: Int) {
        // As many locks as threads are ever likely, and enough entries in each that they fill evenly.
        var bits = 6
        while bits > 0, entries >> bits < 2048 { bits -= 1 }
        self.init(entries: entries, shardBits: bits, bytesPerEntry: Self.bytesPerEntry)
    }

    init(entries: Int, shardBits: Int, bytesPerEntry: Int) {
        let count = 1 << shardBits
        let each = max(1, entries / count)
        shift = UInt64(UInt64.bitWidth - shardBits)
        shards = (0..<count).map { _ in
            Shard(VerificationShard(capacity: each, maximumBytes: each * bytesPerEntry))
        }
        capacity = each * count
    }

    func lookUp(_ digest: SHA256Digest) -> VerificationShard.Hit? {
        shard(of: digest).table.withLock { $0.lookUp(digest) }
    }

    /// - Parameters:
    ///   - epoch: of the state that it was verified and found good under; 0 where it was found revoked.
    ///   - seconds: since 1970.
    func insert(_ digest: SHA256Digest, _ token: VerifiedToken, stamp epoch: UInt64, at seconds: Double) {
        shard(of: digest).table.withLock {
            $0.insert(digest, token, stamp: epoch, maximumCost: Self.maximumCost, at: seconds)
        }
    }

    func stamp(_ digest: SHA256Digest, _ token: VerifiedToken, with epoch: UInt64) {
        shard(of: digest).table.withLock { $0.stamp(digest, token, with: epoch) }
    }

    func remove(_ digest: SHA256Digest, _ token: VerifiedToken, for reason: VerificationShard.Removal) {
        shard(of: digest).table.withLock { $0.remove(digest, token, for: reason) }
    }

    private func shard(of digest: SHA256Digest) -> Shard {
        // A shift by all 64 bits gives 0.
        shards[Int(truncatingIfNeeded: digest.words.3 >> shift)]
    }
}

// MARK: Keeping and showing

extension VerificationCache {
    /// For how long after its end a token is still known: whoever shows it once more is told so without its signature being
    /// checked again.
    package static let grace = 60.0

    /// Gives back the memory of tokens that expired a minute ago, and of those whose key is not in `keys`. In parts, between
    /// which `pause` is called: no lock is held for longer than some 20 µs.
    /// - Parameter seconds: since 1970.
    package func sweep(
        keeping keys: KeyRing, at seconds: Double, pause: () async -> Void = { await Task.yield() }
    ) async {
        for shard in shards {
            var next: Int? = 0
            while let start = next {
                next = shard.table.withLock { table in
                    table.sweep(from: start, count: 256, expiredBefore: seconds - Self.grace) {
                        keys.published[$0] != nil
                    }
                }
                await pause()
            }
        }
        grants.forgetUnused()
    }

    package struct Size: Sendable {
        package var entries = 0
        package var bytes = 0
    }

    package var size: Size {
        shards.reduce(into: Size()) { size, shard in
            let (count, bytes) = shard.table.withLock { ($0.count, $0.bytes) }
            size.entries += count
            size.bytes += bytes
        }
    }

    /// Of all shards.
    var counts: VerificationShard.Counts {
        shards.reduce(into: VerificationShard.Counts()) { sum, shard in
            let counts = shard.table.withLock { $0.counts }
            sum.hits += counts.hits
            sum.misses += counts.misses
            sum.rechecks += counts.rechecks
            sum.evictions += counts.evictions
            sum.expirations += counts.expirations
            sum.keyRemovals += counts.keyRemovals
            sum.oversized += counts.oversized
        }
    }
}

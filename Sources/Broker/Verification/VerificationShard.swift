import JOSE
import OpenSSL

/// A part of the verification cache: tokens by the digest of their bytes, in a table of fixed size. Not for two threads at a
/// time.
///
/// What is evicted is decided as in S3-FIFO (Yang et al., SOSP 2023). A new token stands in a queue of newcomers, which gets
/// a tenth of the room once there is no more; whoever is not asked for again until the end of that queue goes, and leaves a
/// fingerprint of 32 bits. Whoever was asked for, or comes back while the fingerprint is there, gets into the main queue, and
/// another round in it for each time that it was asked for meanwhile, three at most. So a flood of tokens that are shown once
/// passes through the tenth and does not touch what is in use.
///
/// The table is open addressing with linear probing at a load of three quarters at most. Digests spread evenly whoever makes
/// the tokens: to choose where a token stands somebody has to have one signed for each try, and the bytes that find a place
/// are compared in full.
struct VerificationShard {
    /// A token's bytes beside the token itself: its entry, and its part of the table and of the fingerprints.
    static let overhead = MemoryLayout<Entry>.stride + 10

    struct Hit {
        let token: VerifiedToken
        /// The epoch of the state that it was last found good under; 0 for none.
        let stamp: UInt64
    }

    /// Since the start.
    struct Counts {
        var hits: UInt64 = 0
        var misses: UInt64 = 0
        /// Hits that were looked at again, since the state had changed.
        var rechecks: UInt64 = 0
        var evictions: UInt64 = 0
        var expirations: UInt64 = 0
        /// Removals of tokens whose key is published no more.
        var keyRemovals: UInt64 = 0
        /// Tokens that were too large to be kept, each time.
        var oversized: UInt64 = 0
    }

    enum Removal {
        case eviction, expiry, key
    }

    private struct Entry {
        var digest: SHA256Digest
        /// Nil while the entry is free.
        var token: VerifiedToken?
        var stamp: UInt64
        var next: UInt32
        /// The one before in 29 bits, and then: how often it was asked for in two, and its queue in one.
        private var packed: UInt32

        init(_ digest: SHA256Digest, _ token: VerifiedToken, stamp: UInt64) {
            self.digest = digest
            self.token = token
            self.stamp = stamp
            next = VerificationShard.nobody
            packed = VerificationShard.nobody
        }

        var previous: UInt32 {
            get { packed & VerificationShard.nobody }
            set { packed = packed & ~VerificationShard.nobody | newValue }
        }

        var uses: UInt32 {
            get { packed >> 29 & 3 }
            set { packed = packed & ~(3 << 29) | newValue << 29 }
        }

        var isInMain: Bool {
            get { packed >> 31 == 1 }
            set { packed = packed & ~(1 << 31) | (newValue ? 1 << 31 : 0) }
        }
    }

    private struct Queue {
        var first = VerificationShard.nobody
        var last = VerificationShard.nobody
        var count = 0
        var bytes = 0
    }

    /// In the place of an entry's number.
    private static let nobody: UInt32 = 1 << 29 - 1
    private static let maximumUses: UInt32 = 3
    /// So many of the main queue get another round before one has to go in any case.
    private static let maximumRounds = 256
    /// So many newcomers are moved on at once: in a cache of the standard size all, in the largest some 50 µs' worth.
    private static let maximumMoves = 4096
    static let maximumCapacity = 1 << 24

    private let capacity: Int
    private let maximumBytes: Int
    private var entries: [Entry] = []
    private var free = nobody
    /// Of each place the entry's number and one, and above it the first bits of a part of its digest; 0 where it is empty.
    private var places: [UInt32]
    private let numberBits: UInt32
    /// Of those that left the queue of newcomers; 0 for none.
    private var fingerprints: [UInt32]
    private var newcomers = Queue()
    private var main = Queue()
    private(set) var counts = Counts()

    /// - Parameters:
    ///   - capacity: entries, 1 to 2^24.
    ///   - maximumBytes: of all entries together, `overhead` included.
    init(capacity: Int, maximumBytes: Int) {
        precondition((1...Self.maximumCapacity).contains(capacity), "no such capacity")
        self.capacity = capacity
        self.maximumBytes = maximumBytes
        places = Array(repeating: 0, count: capacity * 4 / 3 + 2)
        fingerprints = Array(repeating: 0, count: capacity)
        numberBits = UInt32(UInt32.bitWidth - UInt32(capacity).leadingZeroBitCount)
        // Not in RAM before it is written.
        entries.reserveCapacity(capacity)
    }

    var count: Int { newcomers.count + main.count }
    var bytes: Int { newcomers.bytes + main.bytes }

    /// The token of that digest, and that it was asked for once more.
    mutating func lookUp(_ digest: SHA256Digest) -> Hit? {
        guard let number = number(of: digest), let token = entries[number].token else {
            counts.misses += 1
            return nil
        }
        counts.hits += 1
        if entries[number].uses < Self.maximumUses { entries[number].uses += 1 }
        return Hit(token: token, stamp: entries[number].stamp)
    }

    /// Notes under which state the token was found good once more. Nothing happens where it is not there any more.
    mutating func stamp(_ digest: SHA256Digest, _ token: VerifiedToken, with epoch: UInt64) {
        counts.rechecks += 1
        guard let number = number(of: digest), entries[number].token?.isSame(as: token) == true else { return }
        entries[number].stamp = epoch
    }

    /// Remembers a token, unless it takes more than `maximumCost`.
    /// - Parameter seconds: since 1970; what has expired by then makes way first where it is met.
    mutating func insert(
        _ digest: SHA256Digest, _ token: VerifiedToken, stamp: UInt64, maximumCost: Int, at seconds: Double
    ) {
        let cost = token.cost + Self.overhead
        guard cost <= min(maximumCost, maximumBytes) else {
            counts.oversized += 1
            return
        }
        // Another thread was faster: what it found out is as good.
        guard number(of: digest) == nil else { return }
        while count >= capacity || bytes + cost > maximumBytes { makeWay(at: seconds) }
        let entry = Entry(digest, token, stamp: stamp)
        let number: UInt32
        if free == Self.nobody {
            number = UInt32(entries.count)
            entries.append(entry)
        } else {
            number = free
            free = entries[Int(number)].next
            entries[Int(number)] = entry
        }
        place(number, digest)
        let fingerprint = Self.fingerprint(of: digest)
        let slot = Self.spread(digest.words.1, over: fingerprints.count)
        let isBack = fingerprints[slot] == fingerprint
        if isBack { fingerprints[slot] = 0 }
        append(number, toMain: isBack, cost)
    }

    mutating func remove(_ digest: SHA256Digest, _ token: VerifiedToken, for reason: Removal) {
        guard let number = number(of: digest), entries[number].token?.isSame(as: token) == true else { return }
        remove(UInt32(number), for: reason)
    }

    /// Removes, of so many entries from a number on, those that expired before `limit`, in seconds since 1970, and those
    /// whose key is published no more.
    /// - Returns: where to go on; nil at the end.
    mutating func sweep(from start: Int, count: Int, expiredBefore limit: Double, _ isPublished: (ExactString) -> Bool)
        -> Int?
    {
        let end = min(start + count, entries.count)
        guard start < end else { return nil }
        for number in start..<end {
            guard let token = entries[number].token else { continue }
            if token.expiry < limit {
                remove(UInt32(number), for: .expiry)
            } else if !isPublished(token.keyID) {
                remove(UInt32(number), for: .key)
            }
        }
        return end < entries.count ? end : nil
    }
}

// MARK: Eviction

extension VerificationShard {
    /// Removes one, or moves some and removes one.
    private mutating func makeWay(at seconds: Double) {
        if newcomers.count * 10 >= capacity || newcomers.bytes * 10 >= maximumBytes || main.count == 0 {
            var moved = 0
            while newcomers.count > 0, moved < Self.maximumMoves {
                moved += 1
                let number = newcomers.first
                let entry = entries[Int(number)]
                guard let token = entry.token else { preconditionFailure("a free entry stands in no queue") }
                if seconds >= token.expiry { return remove(number, for: .expiry) }
                guard entry.uses > 0 else {
                    fingerprints[Self.spread(entry.digest.words.1, over: fingerprints.count)] =
                        Self.fingerprint(of: entry.digest)
                    return remove(number, for: .eviction)
                }
                let cost = token.cost + Self.overhead
                unlink(number, cost)
                entries[Int(number)].uses = 0
                append(number, toMain: true, cost)
            }
        }
        var rounds = 0
        while true {
            let number = main.first
            guard let token = entries[Int(number)].token else { preconditionFailure("a free entry stands in no queue") }
            if seconds >= token.expiry { return remove(number, for: .expiry) }
            guard entries[Int(number)].uses > 0, rounds < Self.maximumRounds else {
                return remove(number, for: .eviction)
            }
            rounds += 1
            entries[Int(number)].uses -= 1
            let cost = token.cost + Self.overhead
            unlink(number, cost)
            append(number, toMain: true, cost)
        }
    }

    private mutating func remove(_ number: UInt32, for reason: Removal) {
        guard let token = entries[Int(number)].token else { return }
        let cost = token.cost + Self.overhead
        vacate(entries[Int(number)].digest, number)
        unlink(number, cost)
        entries[Int(number)].token = nil
        entries[Int(number)].next = free
        free = number
        switch reason {
        case .eviction: counts.evictions += 1
        case .expiry: counts.expirations += 1
        case .key: counts.keyRemovals += 1
        }
    }

    private mutating func append(_ number: UInt32, toMain: Bool, _ cost: Int) {
        var queue = toMain ? main : newcomers
        entries[Int(number)].isInMain = toMain
        entries[Int(number)].previous = queue.last
        entries[Int(number)].next = Self.nobody
        if queue.last == Self.nobody { queue.first = number } else { entries[Int(queue.last)].next = number }
        queue.last = number
        queue.count += 1
        queue.bytes += cost
        if toMain { main = queue } else { newcomers = queue }
    }

    private mutating func unlink(_ number: UInt32, _ cost: Int) {
        let isInMain = entries[Int(number)].isInMain
        var queue = isInMain ? main : newcomers
        let (previous, next) = (entries[Int(number)].previous, entries[Int(number)].next)
        if previous == Self.nobody { queue.first = next } else { entries[Int(previous)].next = next }
        if next == Self.nobody { queue.last = previous } else { entries[Int(next)].previous = previous }
        queue.count -= 1
        queue.bytes -= cost
        if isInMain { main = queue } else { newcomers = queue }
    }
}

// MARK: The table

extension VerificationShard {
    private func number(of digest: SHA256Digest) -> Int? {
        let (tag, mask) = (tag(of: digest), numberMask)
        var place = home(of: digest)
        while true {
            let value = places[place]
            if value == 0 { return nil }
            if value & ~mask == tag {
                let number = Int(value & mask) - 1
                if entries[number].digest == digest { return number }
            }
            place = place + 1 == places.count ? 0 : place + 1
        }
    }

    private mutating func place(_ number: UInt32, _ digest: SHA256Digest) {
        var place = home(of: digest)
        while places[place] != 0 { place = place + 1 == places.count ? 0 : place + 1 }
        places[place] = tag(of: digest) | (number + 1)
    }

    /// Empties the place of an entry, and moves up whoever stands behind it only because it was taken.
    private mutating func vacate(_ digest: SHA256Digest, _ number: UInt32) {
        var hole = home(of: digest)
        while places[hole] & numberMask != number + 1 { hole = hole + 1 == places.count ? 0 : hole + 1 }
        var next = hole
        while true {
            next = next + 1 == places.count ? 0 : next + 1
            let value = places[next]
            guard value != 0 else { break }
            let home = home(of: entries[Int(value & numberMask) - 1].digest)
            // It stays where its home is behind the hole, in the direction of the search.
            let stays = hole <= next ? hole < home && home <= next : hole < home || home <= next
            if stays { continue }
            places[hole] = value
            hole = next
        }
        places[hole] = 0
    }

    private var numberMask: UInt32 { 1 << numberBits - 1 }

    private func home(of digest: SHA256Digest) -> Int { Self.spread(digest.words.0, over: places.count) }

    private func tag(of digest: SHA256Digest) -> UInt32 { UInt32(truncatingIfNeeded: digest.words.2) & ~numberMask }

    /// Never 0.
    private static func fingerprint(of digest: SHA256Digest) -> UInt32 {
        UInt32(truncatingIfNeeded: digest.words.2) | 1
    }

    private static func spread(_ word: UInt64, over count: Int) -> Int {
        Int(word.multipliedFullWidth(by: UInt64(count)).high)
    }
}

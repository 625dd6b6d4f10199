import JOSE

/// Values, and something about each. A copy with one more value costs a part of the table, not all of it: what is published
/// is never changed, and the next one shares nearly everything with it.
struct RevocationTable<Value: Sendable>: Sendable {
    private static var shardCount: Int { 256 }

    private(set) var isEmpty = true
    private var shards: [[ExactString: Value]] = []

    subscript(key: ExactString) -> Value? {
        isEmpty ? nil : shards[Self.shard(of: key)][key]
    }

    mutating func set(_ value: Value, for key: ExactString) {
        if isEmpty {
            shards = Array(repeating: [:], count: Self.shardCount)
            isEmpty = false
        }
        shards[Self.shard(of: key)][key] = value
    }

    /// A dictionary looks at the low bits of the hash, this at the high ones.
    private static func shard(of key: ExactString) -> Int {
        Int(truncatingIfNeeded: UInt(bitPattern: key.hashValue) >> (UInt.bitWidth - 8))
    }
}

/// What was used lately, by keys of bytes, and no more than there is room for: two halves, of which the older one is
/// forgotten when the newer one is full. What is used goes on in the newer one.
struct RecentlyUsed<Value> {
    private let capacity: Int
    private var newer: [[UInt8]: Value] = [:]
    private var older: [[UInt8]: Value] = [:]

    /// - Parameter capacity: 0 keeps nothing.
    init(capacity: Int) {
        self.capacity = capacity
    }

    var count: Int { newer.count + older.count }

    mutating func value(_ key: [UInt8]) -> Value? {
        if let value = newer[key] { return value }
        guard let value = older[key] else { return nil }
        insert(value, key)
        return value
    }

    mutating func insert(_ value: Value, _ key: [UInt8]) {
        guard capacity > 0 else { return }
        if newer.count >= max(1, capacity / 2) { (older, newer) = (newer, [:]) }
        newer[key] = value
    }
}

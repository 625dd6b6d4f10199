import Synchronization

/// A fixed number of counters side by side. Callable from any thread; nothing here waits.
@safe final class AtomicCells: Sendable {
    let count: Int
    /// Made once and freed with this object; every access to what it points at is atomic.
    private nonisolated(unsafe) let cells: UnsafeMutablePointer<Atomic<UInt64>>

    init(count: Int) {
        self.count = count
        unsafe cells = .allocate(capacity: count)
        for index in 0..<count { unsafe (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe cells.deinitialize(count: count)
        unsafe cells.deallocate()
    }

    /// - Returns: what was there before.
    @discardableResult
    func add(_ amount: UInt64, at index: Int) -> UInt64 {
        precondition(index >= 0 && index < count, "no such counter")
        return unsafe cells[index].wrappingAdd(amount, ordering: .relaxed).oldValue
    }

    subscript(index: Int) -> UInt64 {
        precondition(index >= 0 && index < count, "no such counter")
        return unsafe cells[index].load(ordering: .relaxed)
    }
}

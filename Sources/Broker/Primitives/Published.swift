import Synchronization

/// A value of which everybody sees the newest, whole. Who needs several parts of it to fit together takes one copy.
///
/// Callable from any thread; does not suspend.
package final class Published<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    package init(_ value: Value) {
        self.value = Mutex(value)
    }

    package var current: Value { value.withLock { $0 } }

    package func replace(with next: Value) {
        value.withLock { $0 = next }
    }
}

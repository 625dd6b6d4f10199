import Synchronization

/// What the verify path sees: the keys and the revocations of one moment. Immutable; each verdict looks at one of them.
package struct BrokerState: Sendable {
    package internal(set) var keyRing: KeyRing
    package internal(set) var revocations: RevocationSet
    /// Another one after each change.
    package fileprivate(set) var epoch: UInt64 = 0

    package init(keyRing: KeyRing, revocations: RevocationSet = .none) {
        self.keyRing = keyRing
        self.revocations = revocations
    }
}

/// The state of now. What the control path publishes here is in force for every request that begins after it.
///
/// Callable from any thread; does not suspend.
package final class StateHolder: Sendable {
    private let state: Mutex<BrokerState>

    package init(_ state: BrokerState) {
        self.state = Mutex(state)
    }

    package var current: BrokerState { state.withLock { $0 } }

    /// Publishes what `change` makes of the state of now. Two changes never interleave.
    package func update<Value>(_ change: (inout BrokerState) -> sending Value) -> sending Value {
        state.withLock { state in
            state.epoch += 1
            return change(&state)
        }
    }
}

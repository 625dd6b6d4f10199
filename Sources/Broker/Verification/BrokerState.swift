import Synchronization

/// What the verify path sees: the keys and the revocations of one moment. Immutable; each verdict looks at one of them.
///
/// A reference: to take one costs the same whatever it holds.
package struct BrokerState: Sendable {
    private var content: Content

    package init(keyRing: KeyRing, revocations: RevocationSet = .none) {
        content = Content(keyRing, revocations)
    }

    /// To change one makes another state, also where it is the same again: several changes are best made to a copy first.
    package internal(set) var keyRing: KeyRing {
        get { content.keyRing }
        set { content = Content(newValue, content.revocations) }
    }

    package internal(set) var revocations: RevocationSet {
        get { content.revocations }
        set { content = Content(content.keyRing, newValue) }
    }

    /// Stands for exactly these keys and revocations: no two states of a process share one, whichever holder they are
    /// published by, and 0 is never one. So what was found out under an epoch is true wherever that epoch is met again.
    package var epoch: UInt64 { content.epoch }

    private final class Content: Sendable {
        let keyRing: KeyRing
        let revocations: RevocationSet
        let epoch = Content.epochs.wrappingAdd(1, ordering: .relaxed).newValue

        private static let epochs = Atomic<UInt64>(0)

        init(_ keyRing: KeyRing, _ revocations: RevocationSet) {
            self.keyRing = keyRing
            self.revocations = revocations
        }
    }
}

/// The state of now. What the control path publishes here is in force for every request that begins after it.
///
/// Callable from any thread; does not suspend.
package final class StateHolder: Sendable {
    private let state: Mutex<BrokerState>
    private let published: Atomic<UInt64>

    package init(_ state: BrokerState) {
        self.state = Mutex(state)
        published = Atomic(state.epoch)
    }

    package var current: BrokerState { state.withLock { $0 } }

    /// The epoch of `current`, for the price of one load.
    ///
    /// It is stored after the state was exchanged and before `update` returns. Whoever begins after a change was
    /// acknowledged therefore loads the epoch of that change, or of a later one; and whoever loads an earlier one began
    /// before. What was found out under the epoch that this returns may be used without a look at the state.
    package var epoch: UInt64 { published.load(ordering: .acquiring) }

    /// Publishes what `change` makes of the state of now. Two changes never interleave.
    package func update<Value>(_ change: (inout BrokerState) -> sending Value) -> sending Value {
        state.withLock { state in
            defer { published.store(state.epoch, ordering: .releasing) }
            return change(&state)
        }
    }
}

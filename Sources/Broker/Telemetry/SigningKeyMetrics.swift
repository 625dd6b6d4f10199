package import FoundationEssentials
import Synchronization

/// How the signing keys stand. Callable from any thread; does not suspend.
package final class SigningKeyMetrics: MetricSource {
    private let state = Mutex(State())

    private struct State {
        var counts: [SigningKeyRecord.State: Int] = [:]
        var activated: Date?
        var nextRotation: Date?
        var failure: Outage?
        var failureCount: UInt64 = 0
    }

    package init() {}

    /// When the active key began to sign; nil before the keys were read.
    package var activated: Date? { state.withLock { $0.activated } }
    /// When the schedule lets the next key sign.
    package var nextRotation: Date? { state.withLock { $0.nextRotation } }
    /// Since when and why the keys cannot be changed as they should be; nil while all is well.
    package var failure: Outage? { state.withLock { $0.failure } }

    /// - Parameter states: of all keys.
    func show(_ states: [SigningKeyRecord.State], activated: Date?, nextRotation: Date?) {
        let counts = Dictionary(states.map { ($0, 1) }, uniquingKeysWith: +)
        state.withLock { state in
            state.counts = counts
            state.activated = activated
            state.nextRotation = nextRotation
        }
    }

    /// - Returns: whether all was well before.
    func failed(_ cause: String, at now: Date) -> Bool {
        state.withLock { state in
            state.failureCount += 1
            defer { state.failure = Outage(since: state.failure?.since ?? now, cause: cause) }
            return state.failure == nil
        }
    }

    /// - Returns: whether it was not well before.
    func succeeded() -> Bool {
        state.withLock { state in
            defer { state.failure = nil }
            return state.failure != nil
        }
    }

    package func write(to text: inout MetricText) {
        // Of one moment, and not while holding what others wait for.
        let state = state.withLock { $0 }
        guard let activated = state.activated else { return }
        text.family("daypass_signing_keys", .gauge, "Our own signing keys by state.")
        for key in SigningKeyRecord.State.allCases {
            text.sample(UInt64(state.counts[key] ?? 0), MetricLabels([("state", key.rawValue)]))
        }
        text.family(
            "daypass_signing_key_activated_timestamp_seconds", .gauge, "When the active signing key began to sign.")
        text.sample(activated.timeIntervalSince1970)
        text.family(
            "daypass_signing_key_next_rotation_timestamp_seconds", .gauge,
            "When the schedule lets the staged signing key sign; absent where there is none.")
        if let next = state.nextRotation { text.sample(next.timeIntervalSince1970) }
        text.family(
            "daypass_signing_key_changes_working", .gauge,
            "1 while the signing keys change as they should, 0 since a change failed.")
        text.sample(state.failure == nil ? 1.0 : 0)
        text.family(
            "daypass_signing_key_change_failures_total", .counter, "Changes of the signing keys that failed.")
        text.sample(state.failureCount)
    }
}

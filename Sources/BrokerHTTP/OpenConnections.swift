import NIOCore
import Synchronization

/// The connections of one listener, from being accepted to being closed; callable from any thread.
final class OpenConnections: Sendable {
    private struct State {
        var open: [ObjectIdentifier: any Channel] = [:]
        /// Accepted and not handed on yet; with what they were set up as, as soon as they are.
        var arriving: [ObjectIdentifier: EventLoopChannel.Value?] = [:]
        var isStopping = false
        /// The last error of accepting.
        var failure: IOError?
        /// To be told once nothing arrives any more.
        var waiting: EventLoopPromise<Void>?

        mutating func toldNow() -> EventLoopPromise<Void>? {
            guard arriving.isEmpty else { return nil }
            defer { waiting = nil }
            return waiting
        }
    }

    private let state = Mutex(State())

    var isStopping: Bool { state.withLock { $0.isStopping } }

    var failure: IOError? { state.withLock { $0.failure } }

    var all: [any Channel] { state.withLock { Array($0.open.values) } }

    func accepted(_ channel: any Channel) {
        state.withLock {
            $0.open[ObjectIdentifier(channel)] = channel
            $0.arriving[ObjectIdentifier(channel)] = .some(nil)
        }
        channel.closeFuture.whenComplete { _ in self.closed(channel) }
    }

    func setUp(_ channel: any Channel, as value: EventLoopChannel.Value) {
        state.withLock { state in
            guard state.arriving[ObjectIdentifier(channel)] != nil else { return }
            state.arriving[ObjectIdentifier(channel)] = .some(value)
        }
    }

    /// What it was set up as; nil where it has been closed meanwhile.
    func value(of channel: any Channel) -> EventLoopChannel.Value? {
        state.withLock { $0.arriving[ObjectIdentifier(channel)] ?? nil }
    }

    /// It is handed on.
    func arrived(_ channel: any Channel) {
        let (value, promise) = state.withLock { state in
            (state.arriving.removeValue(forKey: ObjectIdentifier(channel)), state.toldNow())
        }
        promise?.succeed()
        withExtendedLifetime(value) {}
    }

    /// - Parameter promise: succeeds once all that were accepted before have arrived.
    func stop(_ promise: EventLoopPromise<Void>) {
        let now = state.withLock { state in
            state.isStopping = true
            state.waiting = promise
            return state.toldNow()
        }
        now?.succeed()
    }

    /// The same, without waiting for those.
    func stop() {
        state.withLock { $0.isStopping = true }
    }

    func failed(_ error: IOError) {
        state.withLock { $0.failure = error }
    }

    private func closed(_ channel: any Channel) {
        // What it was set up as goes when nobody can wait for the lock any more.
        let (value, promise) = state.withLock { state in
            state.open[ObjectIdentifier(channel)] = nil
            return (state.arriving.removeValue(forKey: ObjectIdentifier(channel)), state.toldNow())
        }
        promise?.succeed()
        withExtendedLifetime(value) {}
    }
}

import Broker
import FoundationEssentials
import NIOCore
import OpenSSL
import Synchronization

/// What the connections of one event loop share, so that an answer allocates nothing. Used on that loop alone.
final class EventLoopState {
    private var date = HTTPDate()
    private var random: [UInt8] = []
    private var drawn = 0
    /// Answers are assembled here; it is free again once they are written.
    var output = ByteBuffer()
    var requirements = RequirementMemo()
    let load: LoopLoad

    /// Random bytes are drawn for so many trace ids at once.
    private static let traces = 256
    private static let bytesPerTrace = 10

    init(_ load: LoopLoad) {
        self.load = load
    }

    /// The value of the field `Date` at the moment `now`.
    func date(at now: Date) -> String {
        date.update(to: now)
        return date.text
    }

    /// The same as bytes.
    func dateBytes(at now: Date) -> [UInt8] {
        date.update(to: now)
        return date.bytes
    }

    /// Another one each time: 80 of its bits are random, as in every trace id.
    func trace(at now: Date) -> TraceNumber {
        if drawn + Self.bytesPerTrace > random.count { draw() }
        defer { drawn += Self.bytesPerTrace }
        var bits: UInt64 = 0
        for index in 0..<8 { bits = bits << 8 | UInt64(random[drawn + index]) }
        return TraceNumber(at: now, UInt16(random[drawn + 8]) << 8 | UInt16(random[drawn + 9]), bits)
    }

    private func draw() {
        let count = Self.traces * Self.bytesPerTrace
        var generator = SystemRandomNumberGenerator()
        // An id is no secret: where OpenSSL's generator fails, the kernel's own does.
        random =
            (try? SecureRandom.bytes(count)) ?? (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        drawn = 0
    }
}

@available(*, unavailable)
extension EventLoopState: Sendable {}

/// One state for each event loop that asks; they live as long as the listener.
final class EventLoopStates: Sendable {
    private let states = Mutex<[ObjectIdentifier: NIOLoopBound<EventLoopState>]>([:])
    private let clock: any BrokerClock
    private let bounds: LoopBounds

    init(clock: any BrokerClock, bounds: LoopBounds = LoopBounds()) {
        self.clock = clock
        self.bounds = bounds
    }

    /// Whether work that takes its time may begin on `eventLoop` now; elsewhere nobody knows.
    func haveTime(on eventLoop: any EventLoop) -> Bool {
        !eventLoop.inEventLoop || state(of: eventLoop).load.hasTime()
    }

    /// That of `eventLoop`, on which it has to be called.
    func state(of eventLoop: any EventLoop) -> EventLoopState {
        eventLoop.preconditionInEventLoop()
        return states.withLock { states in
            if let state = states[ObjectIdentifier(eventLoop)] { return state }
            let state = NIOLoopBound(
                EventLoopState(LoopLoad(eventLoop, clock: clock, bounds: bounds)), eventLoop: eventLoop)
            states[ObjectIdentifier(eventLoop)] = state
            return state
        }.value
    }
}

import Broker
import NIOCore

/// How late one event loop is with what waits for it: it refuses work that it could not answer in time, before the work is
/// done. Used on that loop alone.
///
/// Whoever wants to begin work that takes longer than an answer out of memory asks `hasTime`. The first who asks notes the
/// time and puts a mark into the loop's queue, behind all that waits there; until the mark comes up, its age is how long the
/// loop has been busy with what came together. So it measures what is waited for, not how much: slow keys of an issuer or a
/// slow disk, for which the loop does not wait, count for nothing, and on a fast processor more is let in.
final class LoopLoad {
    private let eventLoop: any EventLoop
    private let clock: any BrokerClock
    private let bounds: LoopBounds
    /// When the mark was put into the queue; nil where there is none. Of `clock.uptime`.
    private var marked: Duration?
    /// How many asked since then; what they began may wait behind the mark.
    private var asked = 0
    /// How many of these were let in to be done later.
    private var waiting = 0

    init(_ eventLoop: any EventLoop, clock: any BrokerClock, bounds: LoopBounds = LoopBounds()) {
        self.eventLoop = eventLoop
        self.clock = clock
        self.bounds = bounds
    }

    /// Whether work that takes its time may begin now.
    func hasTime() -> Bool {
        guard let marked else {
            mark()
            return true
        }
        asked += 1
        return asked < bounds.always || clock.uptime - marked < bounds.delay
    }

    /// The same for work that only comes into the queue now, so that what is let in together does not have to be refused
    /// when its turn has come.
    func hasRoom() -> Bool {
        guard hasTime(), waiting < bounds.waiting else { return false }
        waiting += 1
        return true
    }

    private func mark() {
        (marked, asked, waiting) = (clock.uptime, 0, 0)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute { bound.value.markCameUp() }
    }

    /// Where others asked meanwhile, what they began is in the queue by now, in front of the next mark.
    private func markCameUp() {
        if asked > 0 { mark() } else { marked = nil }
    }
}

@available(*, unavailable)
extension LoopLoad: Sendable {}

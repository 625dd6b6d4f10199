package import FoundationEssentials

/// Whether the wall clock is to be believed when something is about to be deleted by it.
///
/// It is while it goes along with the monotonic clock, to a minute since the last reading that was believed. After a jump
/// it is believed at once where it jumps back, and otherwise when it has kept its new course for a day. At start there is
/// nothing to compare it with but the last record, and whoever sets a wrong clock right does it soon: it is believed after
/// an hour, or after a day where it is more than a day ahead of that record.
package struct ClockAgreement: Sendable {
    package static let tolerance: Duration = .seconds(60)
    package static let hourAfterStart: Duration = .seconds(3600)
    package static let dayAfterJump: Duration = .seconds(86_400)

    package enum Reading: Sendable, Equatable {
        /// The time of the wall clock.
        case believed(Date)
        /// The clock keeps its course, and has to for so long still.
        case started(Duration)
        /// How far the wall clock is ahead of where it should be, or behind where negative.
        case jumped(Duration)
    }

    /// The wall clock less the monotonic one, in seconds.
    private typealias Course = Double

    /// What it was at start, had it said then the time of the last record.
    private let lastRecord: Course?
    private var believed: Course?
    /// One that is not believed yet, and when it was first seen.
    private var candidate: (course: Course, since: Duration)

    /// - Parameter lastRecord: when something was last recorded by this clock; nil where nothing was.
    package init(_ clock: any BrokerClock, lastRecord: Date? = nil) {
        candidate = (Self.course(clock), clock.uptime)
        self.lastRecord = lastRecord.map { $0.timeIntervalSince1970 - clock.uptime.seconds }
    }

    /// How far the wall clock was ahead of the last record at start, where it was set as it is now; nil up to a day.
    package var aheadAtStart: Duration? {
        guard let lastRecord, candidate.course - lastRecord > Self.dayAfterJump.seconds else { return nil }
        return .seconds(candidate.course - lastRecord)
    }

    /// Reads the clocks. The time is only good for what is done at once.
    package mutating func reading(of clock: any BrokerClock) -> Reading {
        let (now, uptime) = (clock.now, clock.uptime)
        let course = now.timeIntervalSince1970 - uptime.seconds
        if let last = believed, Self.agree(course, last) {
            believed = course
            candidate = (course, uptime)
            return .believed(now)
        }
        // Small steps are followed, so that many of them are no jump.
        candidate = (course, Self.agree(course, candidate.course) ? candidate.since : uptime)
        let wait = believed == nil && aheadAtStart == nil ? Self.hourAfterStart : Self.dayAfterJump
        let left = wait - (uptime - candidate.since)
        if left <= .zero {
            believed = course
            return .believed(now)
        }
        return believed.map { .jumped(.seconds(course - $0)) } ?? .started(left)
    }

    private static func course(_ clock: any BrokerClock) -> Course {
        clock.now.timeIntervalSince1970 - clock.uptime.seconds
    }

    private static func agree(_ one: Course, _ other: Course) -> Bool {
        abs(one - other) <= tolerance.seconds
    }
}

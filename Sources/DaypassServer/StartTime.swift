import Broker
import Foundation
import Logging

/// Whether the clock can be right, as far as the audit record tells: with an earlier one, tokens that had expired would
/// be good again, and records would be made in the wrong order.
enum StartTime {
    /// Clocks that are set right again by a little are no reason.
    static let tolerance: Duration = .seconds(300)

    /// - Throws: a `CommandFailure` where `now` is before the last record by more than the tolerance, unless that is
    ///   accepted.
    static func check(
        _ now: Date, against lastRecord: Date?, accepting acceptsEarlier: Bool, _ logger: Logger
    ) throws {
        guard let last = lastRecord, now.addingTimeInterval(tolerance.seconds) < last else {
            return
        }
        let (clock, record) = (now.formatted(.iso8601), last.formatted(.iso8601))
        let times = "the clock says \(clock), and the last audit record is of \(record)"
        guard acceptsEarlier else {
            throw CommandFailure(
                "\(times): set the clock, or, where it is right and was ahead before, start once with "
                    + "--accept-earlier-clock")
        }
        logger.warning("\(times): accepted, as asked for")
    }
}

import Broker
import BrokerTesting
import Foundation
import Testing

@Suite struct `A wall clock` {
    let clock = ManualClock()

    /// A clock that was watched from the start until it was believed.
    private func believed() -> ClockAgreement {
        var agreement = ClockAgreement(clock)
        clock.advance(by: .seconds(3600))
        #expect(agreement.reading(of: clock) == .believed(clock.now))
        return agreement
    }

    @Test func `is believed an hour after the start`() {
        var agreement = ClockAgreement(clock)
        #expect(agreement.reading(of: clock) == .started(.seconds(3600)))
        clock.advance(by: .seconds(3599))
        #expect(agreement.reading(of: clock) == .started(.seconds(1)))
        clock.advance(by: .seconds(1))
        #expect(agreement.reading(of: clock) == .believed(clock.now))
    }

    @Test(arguments: [(nil, nil), (0.0, nil), (86_400, nil), (86_401, 86_401), (400 * 86_400, 400 * 86_400)])
    func `that is more than a day ahead of the last record is believed a day after the start`(
        ahead: Double?, seconds: Int?
    ) {
        clock.advance(by: .seconds(100))
        var agreement = ClockAgreement(clock, lastRecord: ahead.map { clock.now.addingTimeInterval(-$0) })
        #expect(agreement.aheadAtStart == seconds.map { .seconds($0) })
        let wait = seconds == nil ? 3600 : 86_400
        clock.advance(by: .seconds(wait - 1))
        #expect(agreement.reading(of: clock) == .started(.seconds(1)))
        clock.advance(by: .seconds(1))
        #expect(agreement.reading(of: clock) == .believed(clock.now))
    }

    @Test func `that was ahead of the last record and is set right is believed an hour after that`() {
        let record = clock.now
        clock.now.addTimeInterval(400 * 86_400)
        var agreement = ClockAgreement(clock, lastRecord: record)
        clock.advance(by: .seconds(600))
        clock.now.addTimeInterval(-400 * 86_400)
        #expect(agreement.reading(of: clock) == .started(.seconds(3600)))
        clock.advance(by: .seconds(3600))
        #expect(agreement.reading(of: clock) == .believed(clock.now))
    }

    @Test func `that is set right after the start is believed an hour after that`() {
        var agreement = ClockAgreement(clock)
        clock.advance(by: .seconds(3000))
        clock.now.addTimeInterval(-86_400)
        #expect(agreement.reading(of: clock) == .started(.seconds(3600)))
        clock.advance(by: .seconds(3599))
        #expect(agreement.reading(of: clock) == .started(.seconds(1)))
        clock.advance(by: .seconds(1))
        #expect(agreement.reading(of: clock) == .believed(clock.now))
    }

    @Test(arguments: [-60.0, -1, 0, 0.001, 59, 60])
    func `may step a minute`(step: Double) {
        var agreement = believed()
        clock.now.addTimeInterval(step)
        #expect(agreement.reading(of: clock) == .believed(clock.now))
    }

    @Test func `may take many small steps`() {
        var agreement = believed()
        for _ in 0..<100 {
            clock.advance(by: .seconds(60))
            clock.now.addTimeInterval(-30)
            #expect(agreement.reading(of: clock) == .believed(clock.now))
        }
    }

    @Test(arguments: [-3600.0, -61, 61, 86_400, 315_360_000])
    func `that jumps is not believed until it is back`(jump: Double) {
        var agreement = believed()
        clock.now.addTimeInterval(jump)
        for _ in 0..<10 {
            #expect(agreement.reading(of: clock) == .jumped(.seconds(jump)))
            clock.advance(by: .seconds(60))
        }
        clock.now.addTimeInterval(-jump)
        #expect(agreement.reading(of: clock) == .believed(clock.now))
    }

    @Test(arguments: [-3600.0, 86_400])
    func `that jumped is believed when it has kept its course for a day`(jump: Double) {
        var agreement = believed()
        clock.now.addTimeInterval(jump)
        #expect(agreement.reading(of: clock) == .jumped(.seconds(jump)))
        clock.advance(by: .seconds(86_399))
        #expect(agreement.reading(of: clock) == .jumped(.seconds(jump)))
        clock.advance(by: .seconds(1))
        #expect(agreement.reading(of: clock) == .believed(clock.now))
        clock.now.addTimeInterval(-jump)
        #expect(agreement.reading(of: clock) == .jumped(.seconds(-jump)), "its old time is now the wrong one")
    }

    @Test func `that jumps again starts its day again, and a visit at home makes no difference`() {
        var agreement = believed()
        clock.now.addTimeInterval(7200)
        _ = agreement.reading(of: clock)
        clock.advance(by: .seconds(80_000))
        #expect(agreement.reading(of: clock) == .jumped(.seconds(7200)))
        clock.now.addTimeInterval(7200)
        #expect(agreement.reading(of: clock) == .jumped(.seconds(14_400)))
        clock.advance(by: .seconds(80_000))
        #expect(agreement.reading(of: clock) == .jumped(.seconds(14_400)))
        clock.now.addTimeInterval(-14_400)
        #expect(agreement.reading(of: clock) == .believed(clock.now))
        clock.now.addTimeInterval(14_400)
        #expect(agreement.reading(of: clock) == .jumped(.seconds(14_400)))
        clock.advance(by: .seconds(80_000))
        #expect(agreement.reading(of: clock) == .jumped(.seconds(14_400)), "the time before does not count")
    }

    @Test func `that was away between two readings is believed, since nothing was done by it`() {
        var agreement = believed()
        clock.now.addTimeInterval(86_400)
        clock.advance(by: .seconds(30))
        clock.now.addTimeInterval(-86_400)
        #expect(agreement.reading(of: clock) == .believed(clock.now))
    }
}

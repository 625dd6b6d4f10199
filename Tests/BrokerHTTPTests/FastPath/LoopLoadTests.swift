import Broker
@testable import BrokerHTTP
import BrokerTesting
import NIOCore
import NIOEmbedded
import Testing

@Suite struct `The delay of an event loop` {
    private let loop = EmbeddedEventLoop()
    private let clock = ManualClock()
    private let load: LoopLoad
    private static let limit = Duration.milliseconds(10)

    init() {
        load = LoopLoad(loop, clock: clock, bounds: LoopBounds(delay: Self.limit, always: 0))
    }

    @Test func `whoever asks first has time, and so have others until it is too long ago`() {
        #expect(load.hasTime())
        clock.advance(by: Self.limit - .nanoseconds(1))
        #expect(load.hasTime())
        clock.advance(by: .nanoseconds(1))
        for _ in 0..<3 { #expect(!load.hasTime()) }
    }

    @Test func `there is time again once the loop has done what waited`() {
        for _ in 0..<3 {
            #expect(load.hasTime())
            clock.advance(by: .seconds(1))
            #expect(!load.hasTime())
            loop.run()
            // However long nobody asks: what the loop does meanwhile has kept nobody waiting.
            clock.advance(by: .seconds(1))
        }
        #expect(load.hasTime())
    }

    /// What tasks of the loop were told.
    private final class Answers {
        var all: [Bool] = []
    }

    @Test(arguments: [
        (1, [true, true, true]), (4, [true, true, true]), (6, [true, true, false]), (10, [true, false, false]),
    ])
    func `what those who were let in put into the queue makes the loop late as well`(
        _ milliseconds: Int, _ expected: [Bool]
    ) {
        let answers = Answers()
        let bound = NIOLoopBound((load, answers), eventLoop: loop)
        let clock = clock
        for _ in 0..<3 {
            #expect(load.hasTime())
            loop.execute {
                bound.value.1.all.append(bound.value.0.hasTime())
                clock.advance(by: .milliseconds(milliseconds))
            }
        }
        loop.run()
        #expect(answers.all == expected)
        #expect(load.hasTime(), "it has done everything")
    }

    @Test func `a handful is let in however long it takes, each time anew`() {
        let load = LoopLoad(loop, clock: clock, bounds: LoopBounds(delay: Self.limit, always: 5))
        for _ in 0..<3 {
            var answers: [Bool] = []
            for _ in 0..<8 {
                answers.append(load.hasTime())
                clock.advance(by: .seconds(1))
            }
            #expect(answers == [true, true, true, true, true, false, false, false])
            loop.run()
        }
    }

    @Test func `what is done later is let in up to a number, each time anew`() {
        let load = LoopLoad(loop, clock: clock, bounds: LoopBounds(delay: Self.limit, always: 0, waiting: 3))
        for _ in 0..<3 {
            #expect((0..<5).map { _ in load.hasRoom() } == [true, true, true, false, false])
            #expect(load.hasTime(), "what is done at once is not counted")
            clock.advance(by: Self.limit)
            #expect(!load.hasTime())
            loop.run()
        }
        #expect(load.hasTime())
        clock.advance(by: Self.limit)
        #expect(!load.hasRoom())
    }

    @Test func `each loop has its own, and elsewhere nobody knows`() {
        let states = EventLoopStates(clock: clock, bounds: LoopBounds(delay: Self.limit, always: 0))
        let other = EmbeddedEventLoop()
        #expect(states.haveTime(on: loop))
        clock.advance(by: .seconds(1))
        #expect(states.haveTime(on: other))
        #expect(!states.haveTime(on: loop))
        #expect(states.state(of: loop) === states.state(of: loop))
        let elsewhere = NIOAsyncTestingEventLoop()
        for _ in 0..<3 {
            #expect(states.haveTime(on: elsewhere))
            clock.advance(by: .seconds(1))
        }
    }
}

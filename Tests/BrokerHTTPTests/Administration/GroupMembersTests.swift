@testable import BrokerHTTP
import BrokerTesting
import Dispatch
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite(.onOwnThreads) struct `The members of the administrators' group` {
    /// A database that answers nobody until it is told to.
    private final class Database: Sendable {
        private let gate = DispatchSemaphore(value: 0)
        private let asked = Mutex<[UInt32]>([])

        var questions: [UInt32] { asked.withLock { $0 } }

        func isMember(_ uid: UInt32, _ group: UInt32) -> Bool {
            asked.withLock { $0.append(uid) }
            gate.wait()
            gate.signal()
            return uid % 2 == 1 && group == 50
        }

        func answer() { gate.signal() }
    }

    private let database = Database()

    private func members(within limit: TimeAmount = .minutes(5)) -> GroupMembers {
        GroupMembers(50, timers: MultiThreadedEventLoopGroup.singleton.next(), timeLimit: limit) { [database] in
            database.isMember($0, $1)
        }
    }

    private func waitUntil(_ condition: () -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while !condition() {
            try #require(ContinuousClock.now < end)
            await Task.yield()
        }
    }

    @Test func `are looked up once for all who ask at the same time, and anew for who asks later`() async throws {
        let members = members()
        async let first = members.membership(of: 7)
        async let second = members.membership(of: 7)
        async let other = members.membership(of: 8)
        try await waitUntil { members.waitingCount == 3 }
        try await waitUntil { database.questions.count == 2 }
        database.answer()
        #expect(await (first, second, other) == (.member, .member, .stranger))
        #expect(database.questions.sorted() == [7, 8])
        #expect(await members.membership(of: 7) == .member)
        #expect(database.questions.count == 3 && members.waitingCount == 0)
    }

    @Test func `are not known beyond four look-ups at a time`() async throws {
        let members = members()
        try await withThrowingTaskGroup(of: GroupMembers.Membership.self) { group in
            for uid in [1, 3, 5, 7] as [UInt32] { group.addTask { await members.membership(of: uid) } }
            try await waitUntil { members.waitingCount == 4 }
            #expect(await members.membership(of: 9) == .unknown)
            database.answer()
            for try await membership in group { #expect(membership == .member) }
        }
        #expect(!database.questions.contains(9))
        #expect(await members.membership(of: 9) == .member)
    }

    @Test func `are not known where the database takes too long, which keeps its place until it answers`() async throws
    {
        let members = members(within: .milliseconds(20))
        for uid in [1, 3, 5, 7] as [UInt32] { #expect(await members.membership(of: uid) == .unknown) }
        #expect(await members.membership(of: 1) == .unknown)
        #expect(await members.membership(of: 9) == .unknown)
        try await waitUntil { database.questions.count == 4 }
        #expect(members.waitingCount == 0)
        database.answer()
        let patient = self.members()
        #expect(await patient.membership(of: 9) == .member)
    }
}

@Suite struct `The places of the administration socket` {
    private let places = SocketPlaces(ownUID: 500, clock: ManualClock(), logger: LogRecorder().logger)

    /// How many of so many tries find a place.
    private func taken(_ uid: UInt32, tries: Int = 100) -> Int {
        (0..<tries).count { _ in places.take(for: uid) }
    }

    @Test func `are ten for each member of the group and forty for all of them`() {
        #expect((1001...1005).map { taken($0) } == [10, 10, 10, 10, 0])
        places.giveBack(of: 1001)
        #expect(taken(1005) == 1 && taken(1001) == 0)
        #expect(taken(500) == 16)
        #expect(taken(0) == 8)
    }

    @Test func `are eight for root whatever the broker's own user takes`() {
        #expect(taken(500) == 56)
        #expect(taken(1001) == 0)
        #expect(taken(0) == 8)
        for _ in 0..<64 { places.giveBack(of: 0) }
        #expect(taken(0) == 8)
    }

    @Test func `are all for root where nobody else is there, also as the broker's own user`() {
        #expect(taken(0) == 64)
        let own = SocketPlaces(ownUID: 0, clock: ManualClock(), logger: LogRecorder().logger)
        #expect((0..<100).count { _ in own.take(for: 1001) } == 10)
        #expect((0..<100).count { _ in own.take(for: 0) } == 54)
    }
}

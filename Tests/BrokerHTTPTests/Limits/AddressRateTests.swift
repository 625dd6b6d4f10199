import Broker
@testable import BrokerHTTP
import Testing

@Suite struct `The rate of an address` {
    private static let start = Duration.seconds(1000)

    private func holder(_ text: String) throws -> AddressGroup {
        ClientAddress(try #require(IPAddress(parsing: text))).holder
    }

    /// How many of `count` requests at one moment are within the limit.
    private func admitted(_ count: Int, _ rate: AddressRate, _ holder: AddressGroup, at uptime: Duration) -> Int {
        (0..<count).count { _ in rate.admits(holder, at: uptime) }
    }

    @Test(arguments: [1, 2, 3, 7, 20, 999, 60_000, 1_000_000])
    func `allows what a second has at once, and refills in a second`(perSecond: Int) throws {
        let rate = AddressRate(perSecond: perSecond)
        let holder = try holder("192.0.2.1")
        #expect(admitted(perSecond + 1000, rate, holder, at: Self.start) >= perSecond)
        #expect(!rate.admits(holder, at: Self.start))
        #expect(rate.admits(holder, at: Self.start + .seconds(1)), "a client that waits a second is let in")
    }

    @Test func `refills steadily, and refusals use up nothing`() throws {
        let rate = AddressRate(perSecond: 20)
        let holder = try holder("192.0.2.1")
        #expect(admitted(1000, rate, holder, at: Self.start) == 20)
        #expect(admitted(1000, rate, holder, at: Self.start + .milliseconds(49)) == 0)
        #expect(admitted(1000, rate, holder, at: Self.start + .milliseconds(50)) == 1)
        #expect(admitted(1000, rate, holder, at: Self.start + .milliseconds(500)) == 9)
        #expect(admitted(1000, rate, holder, at: Self.start + .seconds(3600)) == 20)
    }

    @Test func `works from the start of the clock to its end`() throws {
        let rate = AddressRate(perSecond: 2)
        let holder = try holder("192.0.2.1")
        #expect(admitted(5, rate, holder, at: .zero) == 2)
        #expect(admitted(5, rate, holder, at: .seconds(9_000_000_000)) == 2)
    }

    @Test func `is each address's own`() throws {
        let rate = AddressRate(perSecond: 5)
        for one in 0..<100 {
            #expect(try admitted(9, rate, holder("192.0.2.\(one)"), at: Self.start) == 5)
            #expect(try admitted(9, rate, holder("2001:db8:0:\(one)::1"), at: Self.start) == 5)
        }
        #expect(try admitted(9, rate, holder("2001:db8:0:7::2"), at: Self.start) == 0, "a /64 is one client")
    }

    @Test func `of ten thousand addresses at once is still that of each`() throws {
        let rate = AddressRate(perSecond: 3)
        let holders = try (0..<10_000).map { try holder("10.0.\($0 / 250).\($0 % 250)") }
        var admitted = 0
        for _ in 0..<5 { admitted += holders.count { rate.admits($0, at: Self.start) } }
        // 65,536 buckets in sets of 8: that nine of ten thousand share a set happens, and forgives the ninth.
        #expect(admitted >= 30_000)
        #expect(admitted < 30_300)
    }

    @Test func `keeps those over the limit while a prefix floods the table`() throws {
        let rate = AddressRate(perSecond: 20, sets: 4, shards: 2)
        let greedy = try holder("198.51.100.1")
        #expect(admitted(100, rate, greedy, at: Self.start) == 20)
        for one in 0..<100_000 {
            let flood = try holder("2001:db8:\(String(one >> 16, radix: 16)):\(String(one & 0xFFFF, radix: 16))::1")
            #expect(rate.admits(flood, at: Self.start), "nobody is refused for want of room")
        }
        #expect(admitted(100, rate, greedy, at: Self.start) == 0, "the flood does not wash it clean")
    }

    @Test func `forgets full buckets first, and never counts one client's requests as another's`() throws {
        let rate = AddressRate(perSecond: 10, sets: 1, shards: 1)
        let half = try (0..<8).map { try holder("192.0.2.\($0)") }
        for holder in half[..<7] { #expect(admitted(5, rate, holder, at: Self.start) == 5) }
        #expect(rate.admits(half[7], at: Self.start))
        // The eighth is full again, the others are not.
        let later = Self.start + .milliseconds(200)
        #expect(try rate.admits(holder("203.0.113.1"), at: later))
        for holder in half[..<7] { #expect(admitted(20, rate, holder, at: later) == 7) }
        #expect(try admitted(20, rate, holder("203.0.113.1"), at: later) == 9)
    }

    @Test func `may hold more than a second's worth`() throws {
        let rate = AddressRate(perSecond: 20, burst: 5)
        let holder = try holder("192.0.2.1")
        #expect(admitted(1000, rate, holder, at: Self.start) == 100)
        #expect(admitted(1000, rate, holder, at: Self.start + .seconds(1)) == 20)
        #expect(admitted(1000, rate, holder, at: Self.start + .seconds(7)) == 100)
    }

    @Test func `asks without counting, and counts what happened all the same`() throws {
        let rate = AddressRate(perSecond: 10)
        let (holder, other) = (try holder("192.0.2.1"), try self.holder("192.0.2.2"))
        for _ in 0..<100 { #expect(rate.hasRoom(for: holder, at: Self.start)) }
        for _ in 0..<9 { rate.note(holder, at: Self.start) }
        #expect(rate.hasRoom(for: holder, at: Self.start))
        for _ in 0..<1000 { rate.note(holder, at: Self.start) }
        #expect(!rate.hasRoom(for: holder, at: Self.start + .milliseconds(99)))
        #expect(rate.hasRoom(for: holder, at: Self.start + .milliseconds(100)), "emptier than empty is no bucket")
        #expect(rate.hasRoom(for: other, at: Self.start))
    }
}

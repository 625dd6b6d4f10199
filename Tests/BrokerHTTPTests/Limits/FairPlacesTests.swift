import Broker
@testable import BrokerHTTP
import Testing

@Suite struct `Places that clients share` {
    private func client(_ text: String) throws -> ClientAddress {
        ClientAddress(try #require(IPAddress(parsing: text)))
    }

    private func taken(_ places: FairPlaces, _ count: Int, _ client: (Int) throws -> ClientAddress) rethrows -> Int {
        try (0..<count).count { places.take(for: try client($0)) }
    }

    @Test(arguments: [(1024, 256), (100, 25), (7, 2), (5, 2), (4, 1), (1, 1)])
    func `an address takes no more than a quarter`(capacity: Int, share: Int) throws {
        let places = FairPlaces(capacity)
        #expect(try taken(places, capacity) { _ in try client("192.0.2.1") } == share)
        #expect(try !places.hasPlace(for: client("192.0.2.1")))
        #expect(try places.hasPlace(for: client("198.51.100.1")) == (capacity > 1))
    }

    @Test func `an IPv6 network of 64 bits is an address`() throws {
        let places = FairPlaces(100)
        #expect(try taken(places, 100) { try client("2001:db8::\(String($0, radix: 16))") } == 25)
    }

    @Test func `a network takes no more than half, however many addresses it has`() throws {
        let places = FairPlaces(100)
        #expect(try taken(places, 1000) { try client("2001:db8:\(String($0, radix: 16))::1") } == 50)
        #expect(try taken(places, 1000) { try client("203.0.113.\($0 % 256)") } == 50)
        #expect(try !places.hasPlace(for: client("192.0.2.1")))
    }

    @Test func `an attacker with a prefix of 32 bits leaves half to everybody else`() throws {
        let places = FairPlaces(1024)
        #expect(try taken(places, 10_000) { try client("2001:db8:\(String($0, radix: 16))::1") } == 512)
        #expect(try taken(places, 400) { try client("10.\($0 / 2).\($0 % 2).1") } == 400)
    }

    @Test func `a place given back can be taken again, and what nobody holds is forgotten`() throws {
        let places = FairPlaces(8)
        let one = try client("192.0.2.1")
        for _ in 0..<1000 {
            #expect(places.take(for: one))
            #expect(places.take(for: one))
            #expect(!places.take(for: one))
            places.giveBack(of: one)
            places.giveBack(of: one)
        }
        #expect(try taken(places, 8) { try client("10.\($0).0.1") } == 8)
    }
}

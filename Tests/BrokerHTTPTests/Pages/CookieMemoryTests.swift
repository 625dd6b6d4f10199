import Broker
import Testing

@testable import BrokerHTTP

@Suite struct `What is remembered of cookies` {
    private func client(_ text: String) throws -> ClientAddress {
        ClientAddress(try #require(IPAddress(parsing: text)))
    }

    @Test func `is there until its end, and can be replaced and forgotten`() throws {
        let (memory, one) = (CookieMemory<Int>(capacity: 8), try client("192.0.2.1"))
        #expect(memory.remember(1, of: "a", until: .seconds(10), for: one, at: .seconds(1)) == nil)
        #expect(memory.remember(2, of: "a", until: .seconds(10), for: one, at: .seconds(9)) == 1)
        memory.replace("a", with: 3)
        memory.replace("b", with: 4)
        #expect(memory.value(of: "a") == 3 && memory.value(of: "b") == nil)
        #expect(memory.remember(5, of: "a", until: .seconds(20), for: one, at: .seconds(10)) == nil)
        memory.forget("a")
        memory.forget("a")
        #expect(memory.value(of: "a") == nil && memory.count == 0)
    }

    @Test func `is a quarter of it of one address, and leaves room to others`() throws {
        let (memory, one) = (CookieMemory<Int>(capacity: 8), try client("192.0.2.1"))
        for number in 0..<100 {
            #expect(memory.remember(number, of: "\(number)", until: .seconds(10), for: one, at: .seconds(1)) == nil)
        }
        #expect(memory.count == 2)
        #expect(
            memory.remember(7, of: "x", until: .seconds(10), for: try client("198.51.100.1"), at: .seconds(1)) == nil)
        #expect(memory.value(of: "x") == 7)
        // What is over makes room.
        #expect(memory.remember(8, of: "y", until: .seconds(30), for: one, at: .seconds(20)) == nil)
        #expect(memory.value(of: "y") == 8 && memory.count == 1)
    }
}

import Broker
@testable import BrokerHTTP
import HTTPTypes
import JOSE
import NIOCore
import Testing

@Suite struct `The client's address` {
    private static let forwardedFor = HTTPField.Name("x-forwarded-for")

    private func client(_ peer: String, _ fields: [String], trusting blocks: [String]) throws -> String {
        let proxies = TrustedProxies(try blocks.map { try AddressBlock(parsing: $0) })
        var headers = HTTPFields()
        headers[values: try #require(Self.forwardedFor)] = fields
        let peer = try #require(ClientAddress(SocketAddress(ipAddress: peer, port: 4711)))
        return proxies.client(of: peer, headers).description
    }

    @Test(arguments: [
        ("203.0.113.9", ["198.51.100.1"]), ("10.0.0.9", ["198.51.100.1"]), ("2001:db8::9", ["198.51.100.1"]),
        ("::1", ["198.51.100.1"]),
    ])
    func `is the peer's where the peer is not trusted`(peer: String, fields: [String]) throws {
        #expect(try client(peer, fields, trusting: []) == peer)
        #expect(try client(peer, fields, trusting: ["127.0.0.1", "10.0.0.0/29", "2001:db8::8"]) == peer)
    }

    @Test(arguments: [
        (["198.51.100.1"], "198.51.100.1"),
        // What the client made up stands left of what the proxy appended.
        (["1.2.3.4, 198.51.100.1"], "198.51.100.1"), (["127.0.0.1,10.0.0.1,198.51.100.1"], "198.51.100.1"),
        (["1.2.3.4", "198.51.100.1"], "198.51.100.1"), (["1.2.3.4", "198.51.100.1 , 10.0.0.1"], "198.51.100.1"),
        (["198.51.100.1", "10.0.0.2", "10.0.0.1"], "198.51.100.1"),
        (["1.2.3.4, 198.51.100.1\t,\t10.0.0.1 , 10.0.0.2"], "198.51.100.1"),
        // The proxies are clients too.
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"), (["127.0.0.1"], "127.0.0.1"), (["127.0.0.1, 127.0.0.1"], "127.0.0.1"),
        ([], "127.0.0.1"),
        // Forms
        (["2001:db8::0:1"], "2001:db8::1"), (["[2001:db8::1]"], "2001:db8::1"), (["[2001:db8::1]:443"], "2001:db8::1"),
        (["198.51.100.1:65535"], "198.51.100.1"), (["::ffff:198.51.100.1"], "198.51.100.1"),
        (["1.2.3.4, ::ffff:10.0.0.1"], "1.2.3.4"), (["1.2.3.4, 10.0.0.1:80"], "1.2.3.4"),
    ])
    func `is the rightmost that no trusted proxy has, or the leftmost`(fields: [String], expected: String) throws {
        #expect(try client("127.0.0.1", fields, trusting: ["127.0.0.1", "10.0.0.0/8"]) == expected)
        #expect(try client("::ffff:127.0.0.1", fields, trusting: ["127.0.0.1", "10.0.0.0/8"]) == expected)
    }

    @Test(arguments: [
        "", " ", "unknown", "_hidden", "198.51.100", "198.51.100.01", "198.51.100.1:", "198.51.100.1:65536",
        "198.51.100.1:a", "198.51.100.1 198.51.100.2", "[198.51.100.1]", "[2001:db8::1", "2001:db8::1]",
        "[2001:db8::1]443", "fe80::1%eth0", "\"198.51.100.1\"", "for=198.51.100.1", "１.2.3.4", "[::1]:+80",
        "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001", "198.51.100.1;10.0.0.1",
    ])
    func `is that of the trusted proxy where it wrote no address`(element: String) throws {
        let trusted = ["127.0.0.1", "10.0.0.0/8"]
        #expect(try client("127.0.0.1", [element], trusting: trusted) == "127.0.0.1")
        #expect(try client("127.0.0.1", ["1.2.3.4, \(element)"], trusting: trusted) == "127.0.0.1")
        #expect(try client("127.0.0.1", ["1.2.3.4, \(element), 10.0.0.1"], trusting: trusted) == "10.0.0.1")
        #expect(try client("127.0.0.1", ["1.2.3.4", element, "10.0.0.1"], trusting: trusted) == "10.0.0.1")
        #expect(try client("127.0.0.1", ["\(element), 1.2.3.4"], trusting: trusted) == "1.2.3.4")
    }

    @Test func `is looked for in 32 elements at most`() throws {
        let proxies = (1...31).map { "10.0.0.\($0)" }.reversed().joined(separator: ", ")
        #expect(try client("10.0.0.0", ["1.2.3.4, \(proxies)"], trusting: ["10.0.0.0/8"]) == "1.2.3.4")
        #expect(try client("10.0.0.0", ["1.2.3.4, 10.1.1.1, \(proxies)"], trusting: ["10.0.0.0/8"]) == "10.1.1.1")
        let commas = String(repeating: ",", count: 20_000)
        #expect(try client("10.0.0.0", [commas], trusting: ["10.0.0.0/8"]) == "10.0.0.0")
    }

    @Test(arguments: [
        ("192.0.2.1", "::ffff:192.0.2.1", true), ("192.0.2.1", "64:ff9b::192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false), ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true), ("2001:db8::1", "2001:db8:0:1::1", false),
        ("0.0.0.1", "::1", false), ("0.0.0.0", "::", false),
    ])
    func `counts as one by IPv4 address and by IPv6 network of 64 bits`(
        one: String, other: String, isSame: Bool
    ) throws {
        let holders = try [one, other].map { ClientAddress(try #require(IPAddress(parsing: $0))).holder }
        #expect((holders[0] == holders[1]) == isSame)
    }

    @Test(arguments: [
        "0.0.0.0", "255.255.255.255", "1.20.100.9", "10.99.109.110", "::", "2001:db8::1", "fe80::1:0:0:1",
    ])
    func `is written in its usual spelling`(text: String) throws {
        let client = ClientAddress(try #require(IPAddress(parsing: text)))
        #expect(client.description == text)
        #expect(client.text.string == text)
    }

    @Test func `that is translated from IPv4 is trusted only as what it is`() throws {
        #expect(try client("64:ff9b::127.0.0.1", ["1.2.3.4"], trusting: ["127.0.0.1"]) == "64:ff9b::7f00:1")
    }
}

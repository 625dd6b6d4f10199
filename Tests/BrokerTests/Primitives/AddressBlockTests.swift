import Broker
import Testing

@Suite struct `Address blocks` {
    private func address(_ text: String) throws -> IPAddress {
        try #require(IPAddress(parsing: text))
    }

    @Test(arguments: [
        ("10.2.0.0/16", ["10.2.0.0", "10.2.255.255", "::ffff:10.2.3.4"], ["10.3.0.0", "10.1.255.255", "::a02:0"]),
        ("10.2.0.0/15", ["10.2.0.0", "10.3.255.255"], ["10.4.0.0", "10.1.255.255"]),
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6", "192.0.2.8", "c000:207::"]),
        ("128.0.0.0/1", ["128.0.0.0", "255.255.255.255"], ["127.255.255.255", "8000::"]),
        ("192.0.2.7/32", ["192.0.2.7"], ["192.0.2.6"]),
        ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db9::", "2001:db7:ffff::", "32.1.13.184"]),
        ("2001:db8::/33", ["2001:db8:7fff::1"], ["2001:db8:8000::"]),
        ("::1", ["::1"], ["::2", "127.0.0.1", "0.0.0.1"]),
        ("::/1", ["::1", "7fff::"], ["8000::", "10.0.0.1", "::ffff:10.0.0.1"]),
    ])
    func `hold the addresses with their prefix and no other`(
        written: String, within: [String], without: [String]
    ) throws {
        let block = try AddressBlock(parsing: written)
        for text in within { #expect(try block.contains(address(text)), "\(text)") }
        for text in without { #expect(try !block.contains(address(text)), "\(text)") }
        #expect(block.description == written)
    }

    @Test(
        arguments: [
            ("", .form), ("/8", .form), ("10.0.0.0/", .form), ("10.0.0.0/033", .form), ("10.0.0.0/33", .form),
            ("10.0.0.0/+8", .form), ("10.0.0.0/8 ", .form), (" 10.0.0.0/8", .form), ("10.0.0.0/8/8", .form),
            ("10.0.0/8", .form), ("::/129", .form), ("::1%lo", .form), ("10.0.0.0/٨", .form),
            ("10.0.0.1/31", .hostBits), ("10.0.1.0/23", .hostBits), ("128.0.0.0/0", .everything),
            ("::1/127", .hostBits), ("2001:db8:8000::/32", .hostBits),
            ("::ffff:10.0.0.1", .mapped), ("::ffff:0:0/96", .mapped), ("0.0.0.0/0", .everything), ("::/00", .form),
            ("::/0", .everything),
        ] as [(String, AddressBlockFailure)])
    func `are refused unless they are exactly what they look like`(
        written: String, failure: AddressBlockFailure
    ) {
        #expect(throws: failure) { try AddressBlock(parsing: written) }
    }
}

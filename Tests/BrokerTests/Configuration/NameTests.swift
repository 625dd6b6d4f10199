import Broker
import JOSE
import Testing

@Suite struct IssuerNameTests {
    @Test(arguments: ["a", "github", "corp-sso", "a1-", "spiffe2", "a" + String(repeating: "b", count: 62)])
    func `a name is a small letter followed by letters, digits and hyphens`(text: String) {
        #expect(IssuerName(parsing: text)?.description == text)
    }

    @Test(arguments: [
        "", "spiffe", "1a", "-a", "A", "aB", "a_b", "a.b", "a:b", "a b", "a\n", "a/b", "\u{E9}", "a\u{301}", "\u{430}",
        "a" + String(repeating: "b", count: 63),
    ])
    func `nothing else is a name, so that none can be mistaken for part of a subject`(text: String) {
        #expect(IssuerName(parsing: text) == nil)
    }
}

@Suite struct ListenAddressTests {
    @Test(arguments: [
        ("127.0.0.1:8080", "127.0.0.1", 8080, true), ("0.0.0.0:0", "0.0.0.0", 0, false),
        ("[::1]:443", "::1", 443, true),
        ("[::]:65535", "::", 65535, false), ("127.255.0.1:1", "127.255.0.1", 1, true),
        ("[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, false),
    ])
    func `an address is a literal with a port`(text: String, host: String, port: Int, isLoopback: Bool) throws {
        let address = try #require(ListenAddress(parsing: text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.isLoopback == isLoopback)
        #expect(address.description == text)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", ":8080", "localhost:8080", "*:8080", "::1:8080", "[::1]", "[127.0.0.1]:80",
        "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:8080 ", "127.0.0.1:0x50",
        "[::1:80", "::1]:80", "[[::1]]:80", "127.1:80", "127.0.0.1:\u{661}", "[fe80::1%eth0]:80", "http://127.0.0.1:80",
    ])
    func `a name, a bare port or anything else is refused`(text: String) {
        #expect(ListenAddress(parsing: text) == nil)
    }
}

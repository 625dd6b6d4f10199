import BrokerHTTP
import FoundationEssentials
import Testing

@Suite struct OutboundURLTests {
    @Test(arguments: [
        ("https://issuer.example.com", "https://issuer.example.com/"),
        ("https://issuer.example.com/", "https://issuer.example.com/"),
        ("HTTPS://Issuer.EXAMPLE.com/A/b", "https://issuer.example.com/A/b"),
        ("https://issuer.example.com:443/keys", "https://issuer.example.com/keys"),
        ("https://issuer.example.com:8443/keys", "https://issuer.example.com:8443/keys"),
        ("http://localhost:80", "http://localhost/"),
        ("https://127.0.0.1/", "https://127.0.0.1/"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        ("https://[2001:DB8:0:0:0:0:0:1]/", "https://[2001:db8::1]/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://1.2.3.example/", "https://1.2.3.example/"),
        ("https://a.example?tenant=1&x=%2F", "https://a.example/?tenant=1&x=%2F"),
        ("https://a.example/a//b;c=1/@d:e", "https://a.example/a//b;c=1/@d:e"),
    ])
    func `a plain URL is put together again from its parts`(text: String, expected: String) throws {
        #expect(try OutboundURL(parsing: text).description == expected)
    }

    @Test(arguments: [
        ("", OutboundURLFailure.scheme), ("issuer.example.com", .scheme), ("//issuer.example.com/", .scheme),
        ("file:///etc/passwd", .scheme), ("ftp://a.example/", .scheme), ("unix:///run/x.sock", .scheme),
        ("http+unix://%2Frun%2Fx.sock/", .scheme), ("gopher://a.example/", .scheme), ("httpſ://a.example/", .character),
        ("https:a.example/", .host), ("https:/a.example/", .host), ("https://", .host), ("https:///keys", .host),
        ("https://?x", .host), ("https://:443/", .host),
        ("https://good@127.0.0.1/", .userinfo), ("https://good:pw@a.example/", .userinfo),
        ("https://127.0.0.1#@good.example", .fragment), ("https://127.0.0.1/#@good.example", .fragment),
        ("https://a.example#", .fragment),
        ("https://a.example\\@127.0.0.1/", .character), ("https:\\\\127.0.0.1/", .character),
        ("https://a.example /", .character), (" https://a.example/", .character), ("https://a.example/\n", .character),
        ("https://a.example/\0", .character), ("https://a.exam\tple/", .character),
        ("https://a.example/\u{7F}", .character), ("https://bücher.example/", .character),
        ("https://127。0。0。1/", .character), ("https://１２７.0.0.1/", .character),
        ("https://a.example/{x}", .character), ("https://a.example/%", .character),
        ("https://a.example/%2", .character),
        ("https://a.example/%zz", .character), ("https://a.example/|", .character),
        ("https://%31%32%37.0.0.1/", .host), ("https://a.example%00/", .host), ("https://a.example%2F/", .host),
        ("https://a.example./", .host), ("https://127.0.0.1./", .host), ("https://.a.example/", .host),
        ("https://a..example/", .host), ("https://-a.example/", .host), ("https://a-.example/", .host),
        ("https://a_b.example/", .host), ("https://a,b.example/", .host), ("https://a.example;x/", .host),
        ("https://\(String(repeating: "a", count: 64)).example/", .host),
        ("https://\(String(repeating: "a.", count: 126))aa/", .host),
        ("https://127.1/", .host), ("https://0x7f.1/", .host), ("https://0x7f000001/", .host),
        ("https://0x7f.0x0.0x0.0x1/", .host), ("https://017700000001/", .host), ("https://2130706433/", .host),
        ("https://0177.0.0.1/", .host), ("https://127.0.0.01/", .host), ("https://256.0.0.1/", .host),
        ("https://1.2.3.4.5/", .host), ("https://a.0x7f/", .host), ("https://0/", .host),
        ("https://[127.0.0.1]/", .host), ("https://[::1/", .host), ("https://::1/", .host), ("https://[]/", .host),
        ("https://[::1%25lo]/", .host), ("https://[fe80::1%eth0]/", .host), ("https://[::1]x/", .host),
        ("https://[::1].a.example/", .host), ("https://[v1.a]/", .host), ("https://a.example[::1]/", .host),
        ("https://a.example:/", .port), ("https://a.example:0/", .port), ("https://a.example:00443/", .port),
        ("https://a.example:65536/", .port), ("https://a.example:+443/", .port), ("https://a.example:443:80/", .port),
        ("https://a.example:x/", .port), ("https://[::1]:/", .port),
        ("https://a.example/\(String(repeating: "a", count: 2048))", .length),
    ])
    func `anything that parsers could read differently is refused`(text: String, reason: OutboundURLFailure) {
        #expect(throws: reason) { try OutboundURL(parsing: text) }
    }

    @Test(arguments: [
        "https://issuer.example.com/a?b=c", "HTTPS://UPPER.example:8443", "https://127.0.0.1:9000/x",
        "https://[2001:db8::1]:8443/x", "https://[::ffff:1.2.3.4]/", "https://xn--bcher-kva.example/",
        "https://xn--80ak6aa92e.example/", "https://a.example//b.example/", "https://a.example/@b.example/",
        "https://a.example/..//../x", "https://a.example/?http://b.example/@c", "https://a.example/%40b.example",
    ])
    func `Foundation reads the same host, port and path out of it`(text: String) throws {
        let ours = try OutboundURL(parsing: text)
        let theirs = try #require(URL(string: ours.description))
        #expect(theirs.host == ours.host.description.trimmingBrackets)
        #expect(theirs.port ?? 443 == ours.port)
        #expect(theirs.user == nil && theirs.password == nil && theirs.fragment == nil)
        #expect(ours.description.hasSuffix(ours.target))
    }

    @Test(arguments: [
        ("/keys", "https://a.example:8443/keys"), ("/keys?x=1", "https://a.example:8443/keys?x=1"),
        ("//b.example/keys", "https://b.example/keys"), ("http://b.example/", "http://b.example/"),
        ("https://a.example/other", "https://a.example/other"), ("/", "https://a.example:8443/"),
    ])
    func `a redirect is read relative to where it came from`(location: String, expected: String) throws {
        let url = try OutboundURL(parsing: "https://a.example:8443/old?y=2")
        #expect(try url.redirected(to: location).description == expected)
    }

    @Test(arguments: [
        "", "keys", "../keys", "?x", "#x", "/keys#x", "/\\b.example", "\\\\b.example", "///b.example",
        "//good@b.example",
        "javascript:alert(1)", "file:///etc/passwd", "/a b", "/\u{0}", "/ü", "/" + String(repeating: "a", count: 2048),
    ])
    func `a redirect to anything else is refused`(location: String) throws {
        let url = try OutboundURL(parsing: "https://a.example/old")
        #expect(throws: OutboundURLFailure.self) { try url.redirected(to: location) }
    }
}

extension String {
    fileprivate var trimmingBrackets: String { filter { $0 != "[" && $0 != "]" } }
}

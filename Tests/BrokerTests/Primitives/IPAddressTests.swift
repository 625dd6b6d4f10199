import Broker
import Testing

@Suite struct IPAddressTests {
    @Test(
        arguments: [
            ("0.0.0.0", [0, 0, 0, 0]), ("1.2.3.4", [1, 2, 3, 4]), ("255.255.255.255", [255, 255, 255, 255]),
        ] as [(String, [UInt8])])
    func `four decimal numbers are an IPv4 address`(text: String, bytes: [UInt8]) throws {
        let address = try #require(IPAddress(parsing: text))
        #expect(address.bytes == bytes)
        #expect(!address.isIPv6)
    }

    @Test(arguments: [
        ("::", "00000000000000000000000000000000"), ("::1", "00000000000000000000000000000001"),
        ("1::", "00010000000000000000000000000000"), ("2001:DB8::a", "20010db800000000000000000000000a"),
        ("1:2:3:4:5:6:7:8", "00010002000300040005000600070008"),
        ("1:2:3:4:5:6:7::", "00010002000300040005000600070000"),
        ("::2:3:4:5:6:7:8", "00000002000300040005000600070008"), ("::ffff:1.2.3.4", "00000000000000000000ffff01020304"),
        ("::1.2.3.4", "00000000000000000000000001020304"), ("1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304"),
        ("64:ff9b::8.8.8.8", "0064ff9b000000000000000008080808"),
    ])
    func `every form of RFC 4291 is an IPv6 address`(text: String, hexadecimal: String) throws {
        let address = try #require(IPAddress(parsing: text))
        let digits = address.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(digits == hexadecimal)
        #expect(address.isIPv6)
    }

    @Test(arguments: [
        "", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", ".1.2.3.4", "1..3.4", "256.1.1.1", "1.2.3.999", "01.2.3.4",
        "0127.0.0.1", "0x7f.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.1", "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4\n", "1.2.3.4\0", "+1.2.3.4", "-1.2.3.4", "1.2.3.4/8", "1.2.3.4:80", "1.2.3.\u{664}", "\u{FF11}.2.3.4",
        "1e1.2.3.4", "localhost",
        ":", ":::", "1:::2", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
        ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "12345::", "g::", "::-1", "::+1", "::0x1", ":: 1", "[::1]", "::1%lo",
        "fe80::1%25eth0", "1.2.3.4::", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:1.2.3", "::ffff:01.2.3.4",
        "::ffff:1.2.3.4.5", "::1/128", "::\u{661}", "::1\u{301}", ":\u{301}:1",
    ])
    func `what a lenient parser might take for an address is none`(text: String) {
        #expect(IPAddress(parsing: text) == nil)
    }

    @Test(arguments: [0, 1, 3, 5, 15, 17])
    func `an address has 4 or 16 bytes`(count: Int) {
        #expect(IPAddress(bytes: Array(repeating: 1, count: count)) == nil)
        #expect(IPAddress(bytes: Array(repeating: 1, count: 4)) != nil)
    }

    @Test(arguments: [
        "0.0.0.0", "0.1.2.3", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1", "192.0.0.255", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
        "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    ])
    func `a special IPv4 range is not public, nor is any IPv6 form of it`(text: String) throws {
        let address = try #require(IPAddress(parsing: text))
        #expect(!address.isPublic)
        let hexadecimal = address.bytes.map { String($0 < 16 ? "0" : "") + String($0, radix: 16) }
        let (high, low) = (hexadecimal[0] + hexadecimal[1], hexadecimal[2] + hexadecimal[3])
        for form in [
            "::ffff:\(text)", "::\(text)", "64:ff9b::\(text)", "64:ff9b:1::\(text)", "2002:\(high):\(low)::1",
            "2001:0:\(high):\(low)::", "::ffff:0:\(text)",
        ] {
            #expect(try !#require(IPAddress(parsing: form)).isPublic, "\(form)")
        }
    }

    @Test(arguments: [
        "::", "::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "100::1", "2001::1", "2001:1ff:ffff::", "2001:db8::1",
        "2002:808:808::1", "3fff::1", "3fff:fff:ffff::", "4000::1", "1fff::1", "5f00::1", "fc00::1", "fd12:3456::1",
        "fe80::1", "febf::1", "fec0::1", "ff02::1", "ffff::", "e000::", "a000::1",
    ])
    func `an IPv6 address outside of global unicast is not public`(text: String) throws {
        #expect(try !#require(IPAddress(parsing: text)).isPublic)
    }

    @Test(arguments: [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255",
        "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
        "2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700::1111", "2a00::1",
        "3ffe::1", "3fff:1000::1",
    ])
    func `the addresses right beside the special ranges are public`(text: String) throws {
        #expect(try #require(IPAddress(parsing: text)).isPublic)
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("128.0.0.1", false), ("126.255.255.255", false),
        ("0.0.0.0", false), ("::", false), ("::2", false), ("::ffff:127.0.0.1", false), ("7f00::1", false),
    ])
    func `loopback is 127.0.0.0/8 and ::1`(text: String, isLoopback: Bool) throws {
        #expect(try #require(IPAddress(parsing: text)).isLoopback == isLoopback)
    }
}

internal import Broker

/// An http or https URL (RFC 3986), taken apart as far as configuration has to know it. Narrower than the RFC: printable
/// ASCII, no user, a host that no two readers take for different ones, no `.` and `..` segments.
struct WebAddress {
    let isSecure: Bool
    /// Without the brackets of an IPv6 address.
    let host: String
    /// From the first slash on; empty if there is none.
    let path: String
    let hasQuery: Bool
    let hasFragment: Bool

    init?(parsing text: String) {
        let isAllowed = { (byte: UInt8) in
            (0x21...0x7E).contains(byte) && !"\"<>\\^`{|}".utf8.contains(byte)
        }
        guard text.utf8.count <= 512, text.utf8.allSatisfy(isAllowed) else { return nil }
        isSecure = text.hasPrefix("https://")
        guard isSecure || text.hasPrefix("http://") else { return nil }
        let rest = text.dropFirst(isSecure ? 8 : 7)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard let host = Self.host(of: authority) else { return nil }
        self.host = host
        let tail = rest.dropFirst(authority.count)
        path = String(tail.prefix { $0 != "?" && $0 != "#" })
        hasFragment = tail.contains("#")
        hasQuery = tail.prefix { $0 != "#" }.contains("?")
        let segments = path.split(separator: "/")
        guard !segments.contains("."), !segments.contains("..") else { return nil }
    }

    /// A scheme, a host and perhaps a port.
    var isOrigin: Bool { path.isEmpty && !hasQuery && !hasFragment }

    /// Whether nothing beyond this machine answers there.
    var isLoopback: Bool {
        host == "localhost" || IPAddress(parsing: host)?.isLoopback == true
    }

    private static func host(of authority: Substring) -> String? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            let host = String(authority[authority.index(after: authority.startIndex)..<end])
            guard isPort(authority[authority.index(after: end)...]), IPAddress(parsing: host)?.isIPv6 == true
            else { return nil }
            return host
        }
        let host = String(authority.prefix { $0 != ":" })
        return isPort(authority.dropFirst(host.count)) && isName(host) ? host : nil
    }

    /// Nothing, or a colon and a port.
    private static func isPort(_ text: Substring) -> Bool {
        guard let colon = text.first else { return true }
        let digits = text.dropFirst()
        return colon == ":" && digits.first != "0" && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
            && UInt16(digits) != nil
    }

    /// A DNS name, or an IPv4 address in its one usual form.
    private static func isName(_ host: String) -> Bool {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isLabel = { (label: Substring) in
            (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy {
                    (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                        || $0 == UInt8(ascii: "-")
                }
        }
        guard host.utf8.count <= 253, labels.allSatisfy(isLabel), let last = labels.last else { return false }
        // 127.1, 0x7f.1 and 2130706433 are addresses to some readers and names to others.
        let isNumeric = last.utf8.allSatisfy { (0x30...0x39).contains($0) } || last.lowercased().hasPrefix("0x")
        return !isNumeric || IPAddress(parsing: host) != nil
    }
}

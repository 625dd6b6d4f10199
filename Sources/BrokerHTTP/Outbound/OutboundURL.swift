package import Broker

/// Where a request of ours goes: an http or https URL (RFC 3986), taken apart once.
///
/// The request is built from these parts and never from the text, so that what was checked and what is connected to
/// cannot be two things. The grammar is narrow on purpose: whatever another parser might read differently (userinfo,
/// backslashes, percent-encoded hosts, numbers that stand for addresses, IDNA, fragments) is refused.
package struct OutboundURL: Sendable, Hashable {
    package static let maximumLength = 2048

    package let scheme: Scheme
    package let host: Host
    /// 1 to 65535.
    package let port: Int
    /// Path and query as they go on the request line; begins with a slash.
    package let target: String

    package enum Scheme: String, Sendable {
        case http, https

        var defaultPort: Int { self == .https ? 443 : 80 }
    }

    package enum Host: Sendable, Hashable {
        /// A DNS name in lower case: letters, digits and hyphens (RFC 1123 §2.1), without a trailing dot.
        case name(String)
        case address(IPAddress)
    }

    package init(parsing text: String) throws(OutboundURLFailure) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.maximumLength else { throw .length }
        guard bytes.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\\") }) else { throw .character }
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")),
            let scheme = Scheme(rawValue: Self.text(bytes[..<colon]).lowercased())
        else { throw .scheme }
        let hierarchy = bytes[(colon + 1)...]
        guard hierarchy.starts(with: "//".utf8) else { throw .host }
        let authority = hierarchy.dropFirst(2).prefix { !"/?#".utf8.contains($0) }
        guard !authority.contains(UInt8(ascii: "@")) else { throw .userinfo }
        let (host, port) = try Self.hostAndPort(authority)
        self.scheme = scheme
        self.host = host
        self.port = try port.map { (text) throws(OutboundURLFailure) in try Self.port(text) } ?? scheme.defaultPort
        target = try Self.target(bytes[authority.endIndex...])
    }

    private init(scheme: Scheme, host: Host, port: Int, target: String) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.target = target
    }

    /// The URL that a `Location` field names as seen from this one (RFC 9110 §10.2.2): a whole URL, one without a scheme
    /// (`//host/…`), or a path that begins with a slash. Other relative references are refused.
    package func redirected(to location: String) throws(OutboundURLFailure) -> OutboundURL {
        if location.utf8.starts(with: "//".utf8) { return try OutboundURL(parsing: "\(scheme.rawValue):\(location)") }
        guard location.utf8.first == UInt8(ascii: "/") else { return try OutboundURL(parsing: location) }
        guard location.utf8.count <= Self.maximumLength else { throw .length }
        return OutboundURL(scheme: scheme, host: host, port: port, target: try Self.target(Array(location.utf8)[...]))
    }

    private static func hostAndPort(
        _ authority: ArraySlice<UInt8>
    ) throws(OutboundURLFailure) -> (Host, ArraySlice<UInt8>?) {
        guard authority.first == UInt8(ascii: "[") else {
            let host = authority.prefix { $0 != UInt8(ascii: ":") }
            return (try self.host(text(host)), port(after: host, in: authority))
        }
        guard let bracket = authority.firstIndex(of: UInt8(ascii: "]")),
            let address = IPAddress(parsing: text(authority[(authority.startIndex + 1)..<bracket])), address.isIPv6
        else { throw .host }
        let rest = authority[(bracket + 1)...]
        guard rest.isEmpty || rest.first == UInt8(ascii: ":") else { throw .host }
        return (.address(address), port(after: authority[...bracket], in: authority))
    }

    private static func host(_ text: String) throws(OutboundURLFailure) -> Host {
        if let address = IPAddress(parsing: text) { return .address(address) }
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard text.utf8.count <= 253, labels.allSatisfy(isLabel) else { throw .host }
        // No top-level domain begins with a digit, but every spelling of an IPv4 address that inet_aton understands
        // ends in such a part: 127.1, 0x7f.1, 017700000001.
        guard let last = labels.last?.first, isLetter(last) else { throw .host }
        return .name(text.lowercased())
    }

    private static func isLabel(_ label: Substring.UTF8View) -> Bool {
        (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
            && label.allSatisfy { isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "-") }
    }

    /// What follows the colon after the host; nil without a colon.
    private static func port(after host: ArraySlice<UInt8>, in authority: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        host.endIndex == authority.endIndex ? nil : authority[(host.endIndex + 1)...]
    }

    private static func port(_ digits: ArraySlice<UInt8>) throws(OutboundURLFailure) -> Int {
        guard (1...5).contains(digits.count), digits.allSatisfy(isDigit), digits.first != UInt8(ascii: "0"),
            let port = Int(text(digits)), port <= 65535
        else { throw .port }
        return port
    }

    /// - Parameter rest: what follows the authority, perhaps nothing.
    private static func target(_ rest: ArraySlice<UInt8>) throws(OutboundURLFailure) -> String {
        guard !rest.contains(UInt8(ascii: "#")) else { throw .fragment }
        var index = rest.startIndex
        while index < rest.endIndex {
            if rest[index] == UInt8(ascii: "%") {
                guard rest[(index + 1)...].prefix(2).count(where: isHexadecimal) == 2 else { throw .character }
                index += 3
            } else {
                guard isTargetCharacter(rest[index]) else { throw .character }
                index += 1
            }
        }
        return rest.first == UInt8(ascii: "/") ? text(rest) : "/" + text(rest)
    }

    /// `pchar`, `/` and `?` of RFC 3986 §3.3 and §3.4, without `%`.
    private static func isTargetCharacter(_ byte: UInt8) -> Bool {
        isLetter(byte) || isDigit(byte) || "-._~!$&'()*+,;=:@/?".utf8.contains(byte)
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isHexadecimal(_ byte: UInt8) -> Bool { isDigit(byte) || (0x61...0x66).contains(byte | 0x20) }
    private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}

extension OutboundURL: CustomStringConvertible {
    /// The URL put together again from its parts.
    package var description: String {
        let port = port == scheme.defaultPort ? "" : ":\(port)"
        return "\(scheme.rawValue)://\(host)\(port)\(target)"
    }
}

extension OutboundURL.Host: CustomStringConvertible {
    /// As it stands in a URL: IPv6 addresses in brackets.
    package var description: String {
        switch self {
        case .name(let name): name
        case .address(let address): address.isIPv6 ? "[\(address.text)]" : address.text
        }
    }
}

/// Why a text is not a URL that we would connect to.
package enum OutboundURLFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case length, character, scheme, userinfo, host, port, fragment

    package var description: String {
        switch self {
        case .length: "a URL may have at most \(OutboundURL.maximumLength) bytes"
        case .character: "a URL may hold only the ASCII characters of RFC 3986"
        case .scheme: "the URL has to begin with https:// (or, to loopback and with allow_private, http://)"
        case .userinfo: "the URL may not hold a user name"
        case .host: "the URL's host has to be a DNS name or an IP address in its usual spelling"
        case .port: "the URL's port has to be a number from 1 to 65535"
        case .fragment: "the URL may not hold a fragment"
        }
    }
}

import Broker
import JOSE
import NIOCore

/// The address that a request counts for: the peer's, or the one that a trusted proxy names. Never an IPv4-mapped one.
struct ClientAddress: Sendable, Hashable, CustomStringConvertible {
    let address: IPAddress

    init(_ address: IPAddress) {
        self.address = address.unmapped
    }

    /// - Returns: nil for what is no IP address, such as that of a Unix socket.
    init?(_ socket: SocketAddress) {
        // ip(7), ipv6(7): behind family and port stands the address, of IPv6 behind the flow label as well.
        let bytes: [UInt8]
        switch socket {
        case .v4(let address): bytes = withUnsafeBytes(of: address.address) { Array($0[4..<8]) }
        case .v6(let address): bytes = withUnsafeBytes(of: address.address) { Array($0[8..<24]) }
        case .unixDomainSocket: return nil
        }
        guard let address = IPAddress(bytes: bytes) else { return nil }
        self.init(address)
    }

    /// An element of `X-Forwarded-For`: an address, of IPv6 also in brackets; some proxies add the port.
    init?(forwarded element: Substring.UTF8View) {
        let isSpace = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        var text = element.drop(while: isSpace)
        while let last = text.last, isSpace(last) { text.removeLast() }
        // The longest is an IPv6 address that ends in an IPv4 one, in brackets and with a port.
        guard text.count <= 53 else { return nil }
        if text.first == UInt8(ascii: "[") {
            guard let end = text.firstIndex(of: UInt8(ascii: "]")),
                Self.isPortOrNothing(text[text.index(after: end)...])
            else { return nil }
            text = text[text.index(after: text.startIndex)..<end]
            guard text.contains(UInt8(ascii: ":")) else { return nil }
        } else if let colon = text.firstIndex(of: UInt8(ascii: ":")), colon == text.lastIndex(of: UInt8(ascii: ":")) {
            guard Self.isPortOrNothing(text[colon...]) else { return nil }
            text = text[..<colon]
        }
        guard let address = IPAddress(parsing: String(Substring(text))) else { return nil }
        self.init(address)
    }

    /// All whose address cannot be told count as one.
    static let unknown: ClientAddress = {
        guard let address = IPAddress(bytes: [0, 0, 0, 0]) else { preconditionFailure("four bytes are an address") }
        return ClientAddress(address)
    }()

    var text: ExactString { ExactString(address.text) }

    var description: String { address.text }

    private static func isPortOrNothing(_ text: Substring.UTF8View) -> Bool {
        guard !text.isEmpty else { return true }
        let digits = text.dropFirst()
        return text.first == UInt8(ascii: ":") && (1...5).contains(digits.count)
            && digits.allSatisfy { (0x30...0x39).contains($0) } && UInt16(String(Substring(digits))) != nil
    }
}

extension ClientAddress {
    /// Whom a limit takes for one client: an IPv4 address, or a /64 of IPv6, of which every host has all addresses.
    var holder: AddressGroup { AddressGroup(of: address, prefixIPv4: 32, prefixIPv6: 64) }

    /// Whom one registration got at once: an IPv4 /24 or an IPv6 /32.
    var network: AddressGroup { AddressGroup(of: address, prefixIPv4: 24, prefixIPv6: 32) }
}

/// The addresses with one prefix, as the key of a table. Nine bytes: it costs no allocation to keep or to compare.
package struct AddressGroup: Sendable, Hashable {
    let isIPv6: Bool
    private let prefix: UInt64

    /// - Parameters:
    ///   - address: no IPv4-mapped one.
    ///   - prefixIPv4: 1 to 32 bits.
    ///   - prefixIPv6: 1 to 64 bits.
    package init(of address: IPAddress, prefixIPv4: UInt64, prefixIPv6: UInt64) {
        let bytes = address.bytes
        // Behind a translator (RFC 6052 §2.1) the whole of IPv4 is in one /64.
        let isTranslated = bytes.starts(with: [0x00, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0])
        isIPv6 = bytes.count == 16 && !isTranslated
        let significant = isIPv6 ? bytes[..<8] : bytes.suffix(4)
        let bits = significant.reduce(0) { $0 << 8 | UInt64($1) }
        let width: UInt64 = isIPv6 ? 64 : 32
        prefix = bits >> (width - (isIPv6 ? prefixIPv6 : prefixIPv4))
    }
}

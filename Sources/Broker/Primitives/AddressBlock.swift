/// A block of IP addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
package struct AddressBlock: Sendable, Hashable, CustomStringConvertible {
    /// 4 or 16 bytes; zero behind the prefix.
    private let base: [UInt8]
    /// In bits.
    private let prefixLength: Int
    /// As it was written.
    package let description: String

    /// Strict: a block that is not what it looks like must not decide whom to trust.
    package init(parsing text: String) throws(AddressBlockFailure) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parsing: String(parts[0])) else { throw .form }
        guard !address.isIPv4Mapped else { throw .mapped }
        base = address.bytes
        prefixLength = parts.count == 1 ? base.count * 8 : try Self.prefixLength(parts[1], atMost: base.count * 8)
        description = text
        guard prefixLength > 0 else { throw .everything }
        guard hasZerosBehindPrefix else { throw .hostBits }
    }

    /// An IPv4-mapped IPv6 address is in the block that its IPv4 address is in, and in no other.
    package func contains(_ address: IPAddress) -> Bool {
        let bytes = address.unmapped.bytes
        return bytes.count == base.count && bytes.starts(with: base, bits: prefixLength)
    }

    private var hasZerosBehindPrefix: Bool {
        base.indices.allSatisfy { base[$0] & ~Self.mask(min(max(prefixLength - $0 * 8, 0), 8)) == 0 }
    }

    /// The first `bits` of a byte, 0 to 8.
    private static func mask(_ bits: Int) -> UInt8 {
        bits == 0 ? 0 : 0xFF << UInt8(8 - bits)
    }

    private static func prefixLength(_ digits: Substring, atMost limit: Int) throws(AddressBlockFailure) -> Int {
        let isCanonical = digits == "0" || digits.utf8.first != UInt8(ascii: "0")
        guard (1...3).contains(digits.utf8.count), isCanonical, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let length = Int(digits), length <= limit
        else { throw .form }
        return length
    }
}

/// Why a text is no block of addresses.
package enum AddressBlockFailure: Error, Sendable, Equatable {
    case form
    /// The address has bits behind the prefix: whoever wrote it meant another block, or one address.
    case hostBits
    /// An IPv4 address in IPv6 form.
    case mapped
    /// A prefix of no bits.
    case everything
}

/// An IPv4 or IPv6 address, by its bytes.
package struct IPAddress: Sendable, Hashable {
    /// 4 or 16, in network order.
    package let bytes: [UInt8]

    package var isIPv6: Bool { bytes.count == 16 }

    /// - Returns: nil unless there are 4 or 16 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// - Returns: nil unless `text` is four decimal numbers without leading zeros, or an IPv6 address (RFC 4291 §2.2)
    ///   without a zone.
    package init?(parsing text: String) {
        guard let bytes = text.utf8.contains(UInt8(ascii: ":")) ? Self.ipv6(text) : Self.ipv4(text[...]) else {
            return nil
        }
        self.bytes = bytes
    }

    /// 127.0.0.0/8 and ::1.
    package var isLoopback: Bool {
        isIPv6 ? bytes == [UInt8](repeating: 0, count: 15) + [1] : bytes[0] == 127
    }

    /// ::ffff:0:0/96 (RFC 4291 §2.5.5.2): how a socket for both families shows an IPv4 address.
    package var isIPv4Mapped: Bool {
        bytes.count == 16 && bytes[10] == 0xFF && bytes[11] == 0xFF && bytes[..<10].allSatisfy { $0 == 0 }
    }

    /// The IPv4 address of a mapped one; any other as it is.
    package var unmapped: IPAddress {
        isIPv4Mapped ? IPAddress(bytes: Array(bytes[12...])) ?? self : self
    }

    /// Whether the address belongs to the public internet: none of the private, shared, loopback, link-local,
    /// documentation, multicast and reserved ranges (RFC 6890 and its registry), and no IPv6 form that leads to an
    /// IPv4 address of another kind (mapped, compatible, NAT64, 6to4, Teredo).
    package var isPublic: Bool {
        isIPv6
            ? !Self.special6.contains { $0.contains(bytes) } && bytes[0] & 0xE0 == 0x20
            : !Self.special4.contains { $0.contains(bytes) }
    }

    private struct Block {
        let prefix: [UInt8]
        let bits: Int

        func contains(_ address: [UInt8]) -> Bool {
            address.starts(with: prefix, bits: bits)
        }
    }

    private static let special4: [Block] = [
        Block(prefix: [0], bits: 8), Block(prefix: [10], bits: 8), Block(prefix: [100, 64], bits: 10),
        Block(prefix: [127], bits: 8), Block(prefix: [169, 254], bits: 16), Block(prefix: [172, 16], bits: 12),
        Block(prefix: [192, 0, 0], bits: 24), Block(prefix: [192, 0, 2], bits: 24),
        Block(prefix: [192, 88, 99], bits: 24), Block(prefix: [192, 168], bits: 16),
        Block(prefix: [198, 18], bits: 15),
        Block(prefix: [198, 51, 100], bits: 24), Block(prefix: [203, 0, 113], bits: 24), Block(prefix: [224], bits: 3),
    ]

    /// Within 2000::/3; everything outside of it is not global unicast (mapped, NAT64, fc00::/7, fe80::/10, ff00::/8).
    private static let special6: [Block] = [
        Block(prefix: [0x20, 0x01, 0x00], bits: 23), Block(prefix: [0x20, 0x01, 0x0D, 0xB8], bits: 32),
        Block(prefix: [0x20, 0x02], bits: 16), Block(prefix: [0x3F, 0xFF, 0x00], bits: 20),
    ]

    private static func ipv4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            let isCanonical = (1...3).contains(part.utf8.count) && (part == "0" || part.utf8.first != UInt8(ascii: "0"))
            guard isCanonical, part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let byte = UInt8(part) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }

    private static func ipv6(_ text: String) -> [UInt8]? {
        let halves = text.split(separator: "::", omittingEmptySubsequences: false)
        guard halves.count <= 2 else { return nil }
        let isWhole = halves.count == 1
        guard let head = groups(halves[0], endsInIPv4: isWhole),
            let tail = isWhole ? [] : groups(halves[1], endsInIPv4: true)
        else { return nil }
        let gap = 16 - head.count - tail.count
        guard isWhole ? gap == 0 : gap >= 2 else { return nil }
        return head + [UInt8](repeating: 0, count: gap) + tail
    }

    /// - Parameter endsInIPv4: whether the last group may be an IPv4 address: only at the end of the whole address.
    private static func groups(_ text: Substring, endsInIPv4: Bool) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var bytes: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if endsInIPv4, index == parts.count - 1, part.utf8.contains(UInt8(ascii: ".")) {
                guard let last = ipv4(part) else { return nil }
                return bytes + last
            }
            let isHexadecimal = part.utf8.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
            guard (1...4).contains(part.utf8.count), isHexadecimal, let group = UInt16(part, radix: 16) else {
                return nil
            }
            bytes += [UInt8(group >> 8), UInt8(group & 0xFF)]
        }
        return bytes
    }
}

extension [UInt8] {
    /// Whether the first `bits` are those of `prefix`. Both have so many.
    func starts(with prefix: [UInt8], bits: Int) -> Bool {
        let whole = bits / 8
        for index in 0..<whole where self[index] != prefix[index] { return false }
        return bits % 8 == 0 || (self[whole] ^ prefix[whole]) >> UInt8(8 - bits % 8) == 0
    }
}

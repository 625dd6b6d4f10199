package import JOSE

/// The name of a trust domain (SPIFFE-ID §2.1): 1 to 255 bytes of `a-z`, `0-9`, `.`, `-` and `_`. What it looks like, a DNS
/// name or an address, changes nothing.
///
/// Only a parser makes one. Upper case is refused and never folded, so that no layer can fold what another compares.
package struct TrustDomain: Sendable, Hashable, CustomStringConvertible {
    /// In bytes.
    package static let maximumLength = 255

    package let name: ExactString

    /// - Parameter name: the bare name, without `spiffe://`.
    package init(parsing name: some Collection<UInt8>) throws(SPIFFEIDFailure) {
        guard !name.isEmpty else { throw .noTrustDomain }
        guard name.count <= Self.maximumLength else { throw .trustDomainTooLong }
        guard name.allSatisfy(Self.isAllowed) else { throw .trustDomainCharacter }
        self.name = ExactString(String(decoding: name, as: UTF8.self))
    }

    package init(parsing name: String) throws(SPIFFEIDFailure) {
        try self.init(parsing: name.utf8)
    }

    package var description: String { name.string }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

package import JOSE

/// The name of a workload, or of a trust domain itself (SPIFFE-ID §2): `spiffe://trust-domain/path`. Only a parser makes
/// one.
///
/// There is one spelling of each id, so that comparing bytes is comparing ids.
package struct SPIFFEID: Sendable, Hashable, CustomStringConvertible {
    /// In bytes, all of it (SPIFFE-ID §2.3).
    package static let maximumLength = 2048
    private static let scheme = Array("spiffe://".utf8)

    package let trustDomain: TrustDomain
    /// From its first `/` on; empty where the id is that of the trust domain.
    package let path: ExactString
    /// All of it.
    package let text: ExactString

    package init(parsing bytes: [UInt8]) throws(SPIFFEIDFailure) {
        guard bytes.count <= Self.maximumLength else { throw .tooLong }
        guard bytes.starts(with: Self.scheme) else { throw .scheme }
        let rest = bytes[Self.scheme.count...]
        let end = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
        trustDomain = try TrustDomain(parsing: rest[..<end])
        try Self.check(path: rest[end...])
        path = ExactString(String(decoding: rest[end...], as: UTF8.self))
        text = ExactString(String(decoding: bytes, as: UTF8.self))
    }

    package init(parsing text: ExactString) throws(SPIFFEIDFailure) {
        try self.init(parsing: Array(text.utf8))
    }

    /// Whether it names somebody in the trust domain and not the domain itself.
    package var isWorkload: Bool { !path.isEmpty }

    package var description: String { text.string }

    private static func check(path: ArraySlice<UInt8>) throws(SPIFFEIDFailure) {
        guard !path.isEmpty else { return }
        // The path begins with a slash, and so has an empty segment before it.
        for segment in path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).dropFirst() {
            guard !segment.isEmpty else { throw .emptySegment }
            guard !segment.elementsEqual(".".utf8), !segment.elementsEqual("..".utf8) else { throw .relativeSegment }
            guard segment.allSatisfy(isAllowed) else { throw .pathCharacter }
        }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

/// Why text is no SPIFFE ID, or no name of a trust domain. Holds nothing of the text.
package enum SPIFFEIDFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case tooLong, scheme
    case noTrustDomain, trustDomainTooLong, trustDomainCharacter
    case emptySegment, relativeSegment, pathCharacter

    package var description: String {
        switch self {
        case .tooLong: "it is longer than \(SPIFFEID.maximumLength) bytes"
        case .scheme: "it does not begin with spiffe://"
        case .noTrustDomain: "it has no trust domain"
        case .trustDomainTooLong: "its trust domain is longer than \(TrustDomain.maximumLength) bytes"
        case .trustDomainCharacter: "its trust domain has a character other than a-z, 0-9, `.`, `-` and `_`"
        case .emptySegment: "its path has an empty segment or ends with a slash"
        case .relativeSegment: "its path has a segment `.` or `..`"
        case .pathCharacter: "its path has a character other than letters, digits, `.`, `-` and `_`"
        }
    }
}

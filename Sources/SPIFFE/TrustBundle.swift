package import JOSE
package import OpenSSL

/// What signs for one trust domain, and for no other (SPIFFE Trust Domain and Bundle §4): the authorities of its
/// X509-SVIDs and the keys of its JWT-SVIDs.
///
/// A bundle without a usable entry is a bundle: everything of its trust domain is invalid then (§4.1.3).
package struct TrustBundle: Sendable {
    /// In bytes, of PEM or JSON.
    package static let maximumLength = 1 << 20
    package static let maximumEntries = 100

    package let trustDomain: TrustDomain
    /// Each a signing certificate by the rules of SPIFFE; none twice.
    package let authorities: [Certificate]
    package let jwtKeys: [ExactString: JWK]
    /// `spiffe_sequence`, nil where the bundle has none.
    package let sequence: UInt64?
    /// `spiffe_refresh_hint`, nil where the bundle has none, or one that is no positive whole number.
    package let refreshHint: Duration?
    /// The entries that are not used, by their place in the bundle, and why.
    package let ignored: [Ignored]
    package let epoch: BundleEpoch

    package struct Ignored: Sendable, Equatable {
        package let index: Int
        package let reason: BundleEntryFailure
    }

    package var isEmpty: Bool { authorities.isEmpty && jwtKeys.isEmpty }

    /// Whether each of its authorities and keys is also one of `other`, the keys under the same ids.
    package func trustsNothingBeyond(_ other: TrustBundle) -> Bool {
        let known = Set(other.authorities.map(\.fingerprint))
        return authorities.allSatisfy { known.contains($0.fingerprint) }
            && jwtKeys.allSatisfy { other.jwtKeys[$0.key]?.json.encoded() == $0.value.json.encoded() }
    }

    init(
        trustDomain: TrustDomain, entries: [Entry], sequence: UInt64? = nil, refreshHint: Duration? = nil,
        ignored: [Ignored]
    ) throws(TrustBundleFailure) {
        var authorities: [Certificate] = []
        var seen: Set<[UInt8]> = []
        var jwtKeys: [ExactString: JWK] = [:]
        for entry in entries {
            switch entry {
            case .authority(let certificate):
                if seen.insert(certificate.fingerprint).inserted { authorities.append(certificate) }
            case .jwtKey(let key):
                // Between two only the sender of a token could choose.
                guard jwtKeys.updateValue(key, forKey: key.keyID) == nil else { throw .duplicateKeyID }
            }
        }
        self.trustDomain = trustDomain
        self.authorities = authorities
        self.jwtKeys = jwtKeys
        self.sequence = sequence
        self.refreshHint = refreshHint
        self.ignored = ignored
        epoch = BundleEpoch(trustDomain, authorities, jwtKeys)
    }

    enum Entry {
        case authority(Certificate)
        case jwtKey(JWK)
    }
}

/// Stands for everything that a bundle trusts: two bundles have one epoch if they trust the same, in whichever order.
/// What was validated against a bundle stays valid, until it expires, as long as the epoch is the same.
package struct BundleEpoch: Sendable, Hashable {
    /// SHA-256
    package let digest: [UInt8]

    init(_ trustDomain: TrustDomain, _ authorities: [Certificate], _ jwtKeys: [ExactString: JWK]) {
        // Digests and base64url: no item can run into the next.
        var input = Array(trustDomain.name.utf8) + [0]
        for fingerprint in authorities.map(\.fingerprint).sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            input += [1] + fingerprint
        }
        for key in jwtKeys.values.sorted(by: { $0.keyID < $1.keyID }) {
            input += [2] + HashAlgorithm.sha256.digest(key.json.encoded())
        }
        digest = HashAlgorithm.sha256.digest(input)
    }
}

/// Why an entry of a bundle is not used.
package enum BundleEntryFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// Missing, or of a kind that is not known (§4.2.2): other kinds of SVID are not for us.
    case use
    case type
    case noCertificate
    case base64
    case certificate(CertificateFailure)
    case rule(SigningCertificateFailure)
    /// The entry's own key is not that of its certificate.
    case otherKey
    case jwk(JWKFailure)

    package var description: String {
        switch self {
        case .use: "its use is missing or not known"
        case .type: "its kty is missing or not known"
        case .noCertificate: "it has no certificate in x5c"
        case .base64: "its x5c is not base64"
        case .certificate(let failure): "its certificate is refused: \(failure)"
        case .rule(let failure): "its certificate cannot be an authority: \(failure)"
        case .otherKey: "its certificate has another key"
        case .jwk(let failure): failure.description
        }
    }
}

/// Why text is not accepted as a bundle.
package enum TrustBundleFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case tooLong, tooManyEntries
    case json(JSONFailure)
    case noKeys
    case sequence
    case duplicateKeyID
    /// The text holds no PEM block where there should be some, or one without an end.
    case pem
    /// Such as a private key.
    case pemBlock
    case certificate(index: Int, CertificateFailure)
    case noTrustDomains
    case tooManyTrustDomains
    case trustDomain(SPIFFEIDFailure)
    case duplicateTrustDomain(TrustDomain)

    package var description: String {
        switch self {
        case .tooLong: "the bundle is longer than \(TrustBundle.maximumLength) bytes"
        case .tooManyEntries: "the bundle has more than \(TrustBundle.maximumEntries) entries"
        case .json(let failure): "the bundle is \(failure)"
        case .noKeys: "the bundle has no array `keys`"
        case .sequence: "the bundle's spiffe_sequence is no whole number of 64 bits"
        case .duplicateKeyID: "two usable keys of the bundle have one kid"
        case .pem: "the bundle is not made of PEM blocks"
        case .pemBlock: "the bundle has a PEM block that is no certificate"
        case .certificate(let index, let failure): "certificate \(index + 1) of the bundle is refused: \(failure)"
        case .noTrustDomains: "the bundle map has no object `trust_domains`"
        case .tooManyTrustDomains: "there are more than \(TrustBundleSet.maximumTrustDomains) trust domains"
        case .trustDomain(let failure): "a trust domain of the bundle map has no acceptable name: \(failure)"
        case .duplicateTrustDomain(let domain): "there are two bundles of the trust domain \(domain)"
        }
    }
}

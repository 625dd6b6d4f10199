package import FoundationEssentials
package import JOSE
package import OpenSSL

/// An identity that a certificate proved: the chain that came with it was validated against the bundle of **the trust
/// domain in its own SPIFFE ID, and no other** (X509-SVID §5). Only `validate` makes one.
package struct X509SVID: Sendable, Hashable {
    /// In certificates, the leaf counted, as sent.
    package static let maximumChainLength = CertificatePath.maximumLength
    /// In bytes of DER, all together.
    package static let maximumChainSize = 64 * 1024

    package let id: SPIFFEID
    package let fingerprint: CertificateFingerprint
    /// The first moment at which it is not valid any more: the earliest end of a certificate of its path.
    package let expiry: Date
    /// Of the bundle that it was validated against.
    package let epoch: BundleEpoch

    /// The identity that `chain` proves at the moment `now`. Does not suspend; callable from any thread.
    ///
    /// That the peer has the leaf's private key is the handshake's part.
    /// - Parameter chain: the DER of each certificate as sent, the leaf first.
    package static func validate(
        _ chain: [[UInt8]], against bundles: TrustBundleSet, for purpose: CertificatePath.Purpose = .tlsClient,
        at now: Date
    ) throws(X509SVIDFailure) -> X509SVID {
        try validate(chain, against: bundles, for: purpose, at: now, knowing: nil)
    }

    static func validate(
        _ chain: [[UInt8]], against bundles: TrustBundleSet, for purpose: CertificatePath.Purpose, at now: Date,
        knowing known: KnownAuthorities?
    ) throws(X509SVIDFailure) -> X509SVID {
        let certificates = try parse(chain, known)
        let (leaf, authorities) = (certificates[0], Array(certificates.dropFirst()))
        let id = try identity(of: leaf, for: purpose)
        try check(authorities)
        let bundle = try bundle(of: id, in: bundles)
        let path: CertificatePath
        do {
            path = try CertificatePath.validate(
                leaf, intermediates: authorities, roots: bundle.authorities, for: purpose, at: now)
        } catch {
            throw .path(id, error)
        }
        // What else came along proves nothing: whoever sent it made it up, perhaps.
        known?.remember(authorities.filter { sent in path.certificates.contains { $0.der == sent.der } })
        return X509SVID(
            id: id, fingerprint: CertificateFingerprint(of: leaf), expiry: path.expiry, epoch: bundle.epoch)
    }

    /// Whether what was found still holds: nothing of the path has expired, and the bundle of the trust domain is there and
    /// trusts the same. Costs no cryptography. Where the bundle has changed, validating the chain again decides.
    package func isCurrent(in bundles: TrustBundleSet, at now: Date) -> Bool {
        now < expiry && bundles[id.trustDomain]?.epoch == epoch
    }

    private static func parse(
        _ chain: [[UInt8]], _ known: KnownAuthorities?
    ) throws(X509SVIDFailure) -> [Certificate] {
        guard !chain.isEmpty else { throw .noCertificate }
        guard chain.count <= maximumChainLength else { throw .tooManyCertificates }
        guard chain.reduce(0, { $0 + $1.count }) <= maximumChainSize else { throw .chainTooLong }
        var certificates: [Certificate] = []
        for (position, der) in chain.enumerated() {
            do {
                let certificate =
                    if position > 0, let known { try known.certificate(der) } else { try Certificate(der: der) }
                certificates.append(certificate)
            } catch {
                throw .certificate(position, error)
            }
        }
        return certificates
    }

    private static func identity(
        of leaf: Certificate, for purpose: CertificatePath.Purpose
    ) throws(X509SVIDFailure) -> SPIFFEID {
        do {
            return try LeafCertificateRules.identity(of: leaf, for: purpose)
        } catch {
            throw .leaf(error)
        }
    }

    /// Every certificate after the leaf, whether the path needs it or not.
    private static func check(_ authorities: [Certificate]) throws(X509SVIDFailure) {
        for (index, authority) in authorities.enumerated() {
            do {
                try SigningCertificateRules.check(authority)
            } catch {
                throw .authority(index + 1, error)
            }
        }
    }

    private static func bundle(of id: SPIFFEID, in bundles: TrustBundleSet) throws(X509SVIDFailure) -> TrustBundle {
        guard let bundle = bundles[id.trustDomain] else { throw .unknownTrustDomain(id) }
        guard !bundle.authorities.isEmpty else { throw .noAuthorities(id) }
        return bundle
    }
}

/// SHA-256 of a certificate's DER: what a certificate is known by. The same key in a new certificate has another one.
package struct CertificateFingerprint: Sendable, Hashable, CustomStringConvertible {
    /// 32 of them.
    package let bytes: [UInt8]

    init(of certificate: Certificate) {
        bytes = certificate.fingerprint
    }

    /// Of a certificate that was validated earlier, or forwarded.
    package init(ofDER der: [UInt8]) {
        bytes = HashAlgorithm.sha256.digest(der)
    }

    /// One that was recorded, or that somebody else computed.
    /// - Returns: nil unless there are 32 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == HashAlgorithm.sha256.digestLength else { return nil }
        self.bytes = bytes
    }

    /// - Returns: nil unless it is the value of an `x5t#S256`, in its one canonical spelling.
    package init?(thumbprint: ExactString) {
        guard let bytes = try? Base64URL.decode(thumbprint) else { return nil }
        self.init(bytes: bytes)
    }

    /// In base64url: the value of `x5t#S256` (RFC 8705 §3.1).
    package var thumbprint: ExactString { ExactString(Base64URL.encode(bytes)) }

    package var description: String { thumbprint.string }
}

/// Why a chain of certificates proves no identity. What of it can be told to nobody but the log is the SPIFFE ID, which
/// is there only once it is well formed, and has no character that could harm a terminal.
package enum X509SVIDFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case noCertificate, tooManyCertificates, chainTooLong
    /// By its position in the chain; 0 is the leaf.
    case certificate(Int, CertificateFailure)
    case leaf(LeafCertificateFailure)
    /// By its position in the chain, from 1 on.
    case authority(Int, SigningCertificateFailure)
    case unknownTrustDomain(SPIFFEID)
    /// The bundle of the trust domain has no usable authority.
    case noAuthorities(SPIFFEID)
    case path(SPIFFEID, CertificatePathFailure)

    package var description: String {
        switch self {
        case .noCertificate: "no certificate was sent"
        case .tooManyCertificates: "more than \(X509SVID.maximumChainLength) certificates were sent"
        case .chainTooLong: "the certificates have more than \(X509SVID.maximumChainSize) bytes together"
        case .certificate(0, let failure): "the leaf is refused: \(failure)"
        case .certificate(let position, let failure): "authority \(position) of the chain is refused: \(failure)"
        case .leaf(let failure): "the leaf is no X509-SVID: \(failure)"
        case .authority(let position, let failure): "authority \(position) of the chain cannot be one: \(failure)"
        case .unknownTrustDomain(let id): "\(id): its trust domain is not configured"
        case .noAuthorities(let id): "\(id): the bundle of its trust domain has no usable authority"
        case .path(let id, let failure): "\(id): \(failure)"
        }
    }
}

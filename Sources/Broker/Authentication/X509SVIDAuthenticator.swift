package import FoundationEssentials
import JOSE
package import SPIFFE

/// Turns the certificate of a connection into a verified subject, by what the bundles say at that moment (X509-SVID §5).
package struct X509SVIDAuthenticator: Sendable {
    private let bundles: @Sendable () -> TrustBundleSet

    /// - Parameter bundles: those that are trusted at the moment of each call.
    package init(bundles: @escaping @Sendable () -> TrustBundleSet) {
        self.bundles = bundles
    }

    /// No trust domain: every certificate is refused.
    package static let none = X509SVIDAuthenticator { TrustBundleSet() }

    /// Does not suspend, and costs no cryptography while certificate and bundle are unchanged.
    ///
    /// A refusal names whom the handshake proved: it is worth a record.
    package func authenticate(
        _ peer: PeerIdentity, at now: Date
    ) throws(AuthenticationFailure) -> VerifiedSubject {
        do {
            return VerifiedSubject(Proof(try peer.current(in: bundles(), at: now)))
        } catch {
            let signer = AuthenticationFailure.Signer(
                issuer: IssuerName(peer.id.trustDomain), identity: peer.id.text, claims: ["sub": .string(peer.id.text)])
            throw AuthenticationFailure(.certificate(error), signer: signer)
        }
    }

    /// The certificate that a request comes with, if it proves anything at the moment `now`.
    package func fingerprint(of presented: PresentedCertificate?, at now: Date) -> CertificateFingerprint? {
        switch presented {
        case nil: nil
        case .connection(let peer): try? peer.current(in: bundles(), at: now).fingerprint
        case .forwarded(let fingerprint, let proxy):
            (try? proxy.current(in: bundles(), at: now)) == nil ? nil : fingerprint
        }
    }

    /// Whether whoever sent a request may use a token of an issuer with these claims. One that says by which certificate its
    /// holder is known is good with that alone (RFC 8705 §3). Of the other methods of confirmation (RFC 7800 §3) none can be
    /// checked here, so that such a token is good for nobody: it would become one that anybody can use.
    func confirms(_ claims: JSONObject, _ presented: PresentedCertificate?, at now: Date) -> Bool {
        guard let confirmation = claims["cnf"] else { return true }
        guard let bound = CertificateFingerprint(confirmation: confirmation) else { return false }
        return fingerprint(of: presented, at: now) == bound
    }

    /// That a certificate is good at this moment. Nobody else can make one.
    struct Proof {
        let svid: X509SVID

        fileprivate init(_ svid: X509SVID) {
            self.svid = svid
        }
    }
}

/// The certificate that a request comes with, to which a token is bound or may be bound (RFC 8705 §3). Who the subject is,
/// it says only where it is that of the connection, and then elsewhere.
package enum PresentedCertificate: Sendable {
    case connection(PeerIdentity)
    /// One that a trusted proxy says its own client has; it counts while the proxy's own is good.
    case forwarded(CertificateFingerprint, by: PeerIdentity)
}

extension CertificateFingerprint {
    /// What a token's `cnf` names.
    /// - Returns: nil where that is another method of confirmation, or several: of them nothing could be checked.
    init?(confirmation: JSONValue) {
        guard let members = confirmation.object, members.members.count == 1,
            let thumbprint = members["x5t#S256"]?.string
        else { return nil }
        self.init(thumbprint: thumbprint)
    }
}

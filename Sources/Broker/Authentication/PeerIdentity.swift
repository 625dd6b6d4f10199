package import FoundationEssentials
package import SPIFFE
import Synchronization

/// Whom the handshake of one connection proved to be at its other end: an X509-SVID, and the chain that came with it.
///
/// The handshake is long past when an exchange asks, so each asks again: an expired certificate, a bundle that trusts
/// something else and a trust domain that is gone take effect while the connection is open. While certificate and bundle
/// are unchanged that is a comparison; where the bundle has changed, the chain is validated against the new one: once where
/// it is good, and at most once a second where it is not. Callable from any thread; does not suspend.
///
/// It holds the chain, at most `X509SVID.maximumChainSize` bytes, for as long as the connection lives.
package final class PeerIdentity: Sendable {
    private let chain: [[UInt8]]
    private let state: Mutex<State>

    private enum State {
        case valid(X509SVID)
        /// By the bundle of that epoch, at that moment.
        case refused(X509SVIDFailure, BundleEpoch, at: Date)
    }

    /// In seconds: a chain that is refused is not validated again and again.
    private static let refusalLife = 1.0

    /// As the handshake found it. Does not change.
    package let id: SPIFFEID
    /// Of the leaf. Does not change.
    package let fingerprint: CertificateFingerprint
    /// When the path that the handshake found expires. Does not change: a connection never gets another certificate.
    package let expiry: Date

    /// - Parameters:
    ///   - svid: what validating `chain` gave during the handshake.
    ///   - chain: the DER of each certificate as sent, the leaf first.
    package init(_ svid: X509SVID, chain: [[UInt8]]) {
        id = svid.id
        fingerprint = svid.fingerprint
        expiry = svid.expiry
        self.chain = chain
        state = Mutex(.valid(svid))
    }

    /// The identity as of now.
    /// - Throws: why there is none any more.
    package func current(in bundles: TrustBundleSet, at now: Date) throws(X509SVIDFailure) -> X509SVID {
        guard let epoch = bundles[id.trustDomain]?.epoch else { throw .unknownTrustDomain(id) }
        return try state.withLock { state throws(X509SVIDFailure) in
            switch state {
            case .valid(let svid) where svid.isCurrent(in: bundles, at: now): return svid
            // Not for longer: what is not valid yet, or by a clock that was wrong, can be valid later.
            case .refused(let failure, epoch, let moment) where abs(now.timeIntervalSince(moment)) < Self.refusalLife:
                throw failure
            case .valid, .refused: return try validate(&state, bundles, epoch, at: now)
            }
        }
    }

    private func validate(
        _ state: inout State, _ bundles: TrustBundleSet, _ epoch: BundleEpoch, at now: Date
    ) throws(X509SVIDFailure) -> X509SVID {
        do {
            let svid = try X509SVID.validate(chain, against: bundles, at: now)
            state = .valid(svid)
            return svid
        } catch {
            state = .refused(error, epoch, at: now)
            throw error
        }
    }
}

import FoundationEssentials
import JOSE

/// A holder gives back a token of its own (RFC 7009).
package struct TokenRevocation: Sendable {
    private let verifier: TokenVerifier
    private let certificates: X509SVIDAuthenticator
    private let revocations: Revocations
    private let clock: any BrokerClock

    package init(
        verifier: TokenVerifier, certificates: X509SVIDAuthenticator, revocations: Revocations, clock: any BrokerClock
    ) {
        self.verifier = verifier
        self.certificates = certificates
        self.revocations = revocations
        self.clock = clock
    }

    /// Whoever shows a token is its holder; of one that is bound to a certificate only whoever has that.
    /// - Returns: nil where there was nothing to revoke: no token of ours, one of somebody else, one that is over already.
    package func revoke(
        _ token: SecretText, presenting certificate: PresentedCertificate?, trace: TraceID
    ) async throws(RevocationRefusal) -> RevocationOutcome? {
        let now = clock.now
        let fingerprint = certificates.fingerprint(of: certificate, at: now)
        guard let claims = try? verifier.claims(of: token, presentedBy: fingerprint, at: now) else { return nil }
        return try await revocations.giveBack(claims, trace: trace)
    }
}

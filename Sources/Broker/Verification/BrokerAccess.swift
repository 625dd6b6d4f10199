import FoundationEssentials
package import JOSE

/// Who may use what the broker offers to others than the holders of tokens: whoever has a token for the broker itself with
/// the scope that it takes, or an SVID to whose subject a rule grants that scope.
package struct BrokerAccess: Sendable {
    private let verifier: TokenVerifier
    private let certificates: X509SVIDAuthenticator
    private let rules: @Sendable () -> RuleSet
    private let state: @Sendable () -> BrokerState
    private let clock: any BrokerClock

    package init(
        verifier: TokenVerifier, certificates: X509SVIDAuthenticator,
        rules: @escaping @Sendable () -> RuleSet,
        state: @escaping @Sendable () -> BrokerState, clock: any BrokerClock
    ) {
        self.verifier = verifier
        self.certificates = certificates
        self.rules = rules
        self.state = state
        self.clock = clock
    }

    /// What somebody shows.
    package enum Credential: Sendable {
        case token(SecretText)
        case certificate(PeerIdentity)
    }

    package enum Outcome: Sendable, Equatable {
        /// To that subject.
        case granted(to: ExactString)
        /// The token is none of ours, or over.
        case refused
        case insufficientScope
    }

    /// Whether it opens what takes that scope, now. To be asked again by what lasts.
    /// - Parameter certificate: that of the connection, to which a token may be bound.
    package func outcome(
        for credential: Credential, presenting certificate: PresentedCertificate?, scope: Scope
    ) -> Outcome {
        let now = clock.now
        switch credential {
        case .token(let token):
            let fingerprint = certificates.fingerprint(of: certificate, at: now)
            guard let claims = try? verifier.claims(of: token, presentedBy: fingerprint, at: now), claims.isForBroker
            else { return .refused }
            return claims.scope.contains(scope) ? .granted(to: claims.subject) : .insufficientScope
        case .certificate(let peer):
            guard let subject = try? certificates.authenticate(peer, at: now) else { return .refused }
            guard case .granted(let grant) = rules().match(subject, naming: nil, asking: [scope]),
                grant.scope.contains(scope)
            else { return .insufficientScope }
            let block = state().revocations.blocks(
                subject: subject.identity, actor: nil, rule: grant.rule, at: now)
            return block == nil ? .granted(to: subject.identity) : .insufficientScope
        }
    }
}

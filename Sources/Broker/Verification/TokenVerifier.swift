package import FoundationEssentials
import JOSE
package import SPIFFE

/// The verify path: a gateway token and what its gateway requires become a verdict.
///
/// Synchronous, without suspension; callable from any thread. Every check after the signature is made each time.
package struct TokenVerifier: Sendable {
    private let issuer: ExactString
    /// The gateways; never the broker itself.
    private let audiences: Set<ExactString>
    private let audiencesAndBroker: Set<ExactString>
    private let policy: VerifyConfiguration
    private let state: @Sendable () -> BrokerState

    package init(
        tokens: TokenConfiguration, policy: VerifyConfiguration, state: @escaping @Sendable () -> BrokerState
    ) {
        issuer = tokens.issuer
        audiences = Set(tokens.audiences).subtracting([tokens.issuer])
        audiencesAndBroker = audiences.union([tokens.issuer])
        self.policy = policy
        self.state = state
    }

    /// Whether a gateway may let the holder of `token` pass, at the moment `now`.
    /// - Parameter certificate: that of whoever presents the token, as the handshake or a trusted proxy proved it.
    package func verdict(
        for token: SecretText, requiring requirement: Requirement, presentedBy certificate: CertificateFingerprint?,
        at now: Date
    ) -> Verdict {
        judgement(on: token, requiring: requirement, presentedBy: certificate, at: now).verdict
    }

    /// The verdict, and what it was about.
    package func judgement(
        on token: SecretText, requiring requirement: Requirement, presentedBy certificate: CertificateFingerprint?,
        at now: Date
    ) -> Judgement {
        let state = state()
        let claims: GatewayClaims
        do {
            claims = try verified(token, for: audiences, state)
        } catch {
            return Judgement(verdict: .deny(.token(error)), claims: nil, killer: nil)
        }
        do {
            try checkTimes(of: claims, at: now)
            try checkRevocations(of: claims, state)
        } catch {
            let killer = error == .revoked ? state.revocations.kills(claims) : nil
            return Judgement(verdict: .deny(.token(error)), claims: claims, killer: killer)
        }
        guard claims.mayBeUsed(with: certificate) else {
            return Judgement(verdict: .deny(.token(.certificate)), claims: claims, killer: nil)
        }
        guard let denial = denial(of: requirement, claims) else {
            return Judgement(verdict: .allow(claims), claims: nil, killer: nil)
        }
        return Judgement(verdict: .deny(denial), claims: claims, killer: nil)
    }

    /// What a token says, for a gateway or for the broker itself, if it is one of ours and good at the moment `now` in the
    /// hands of whoever has that certificate.
    package func claims(
        of token: SecretText, presentedBy certificate: CertificateFingerprint?, at now: Date
    ) throws(UnacceptableGatewayToken) -> GatewayClaims {
        let claims = try claimsInAnyHands(of: token, at: now)
        guard claims.mayBeUsed(with: certificate) else {
            throw UnacceptableGatewayToken(fault: .certificate, claims: claims)
        }
        return claims
    }

    /// The same without regard to who presents it: `mayBeUsed(with:)` remains to be asked.
    func claimsInAnyHands(of token: SecretText, at now: Date) throws(UnacceptableGatewayToken) -> GatewayClaims {
        let state = state()
        let claims: GatewayClaims
        do {
            claims = try verified(token, for: audiencesAndBroker, state)
        } catch {
            throw UnacceptableGatewayToken(fault: error, claims: nil)
        }
        do {
            try checkTimes(of: claims, at: now)
            try checkRevocations(of: claims, state)
        } catch {
            throw UnacceptableGatewayToken(fault: error, claims: claims)
        }
        return claims
    }

    /// Each time, whatever is known of the token from before.
    private func checkRevocations(of claims: GatewayClaims, _ state: BrokerState) throws(Denial.TokenFault) {
        // A number that was never given out would escape all that come until then: a store that was set back.
        guard claims.revision <= state.revocations.highest else { throw .claims }
        guard state.revocations.kills(claims) == nil else { throw .revoked }
        // A key stays published for longer than any session lasts that it signed for, unless it is revoked: also where
        // there was no room for the revocation.
        guard claims.ancestorKeys.allSatisfy({ state.keyRing.published[$0] != nil }) else { throw .revoked }
    }

    private func checkTimes(of claims: GatewayClaims, at now: Date) throws(Denial.TokenFault) {
        // No leeway: they are our own clocks and our own tokens.
        let seconds = now.timeIntervalSince1970
        guard seconds < claims.expiry else { throw .expired }
        guard seconds >= claims.notBefore else { throw .notYetValid }
    }

    private func verified(
        _ token: SecretText, for audiences: Set<ExactString>, _ state: BrokerState
    ) throws(Denial.TokenFault) -> GatewayClaims {
        guard let jws = try? CompactJWS(parsing: Array(token.reveal().utf8)) else { throw .malformed }
        // RFC 9068 §4: other kinds of tokens are not access tokens, whoever signed them.
        let isAccessToken = jws.header.type.map { type in
            type.equalsIgnoringASCIICase("at+jwt") || type.equalsIgnoringASCIICase("application/at+jwt")
        }
        guard isAccessToken == true else { throw .type }
        // Foreign tokens are told apart before any cryptography.
        guard let claims = try? JSONReader.readObject(jws.payload, depth: GatewayClaims.maximumDepth) else {
            throw .malformed
        }
        guard claims["iss"]?.string == issuer else { throw .issuer }
        guard let audience = claims["aud"]?.string, audiences.contains(audience) else { throw .audience }
        guard let keyID = jws.header.keyID, let key = state.keyRing.published[keyID] else { throw .key }
        guard key.algorithm == jws.header.algorithm else { throw .algorithm }
        guard (try? jws.verified(with: key)) != nil else { throw .signature }
        guard let parsed = GatewayClaims(claims, signedBy: keyID) else { throw .claims }
        guard parsed.isForBroker == (parsed.audience == issuer) else { throw .audience }
        return parsed
    }

    private func denial(of requirement: Requirement, _ claims: GatewayClaims) -> Denial? {
        if requirement.scopes.isEmpty, policy.requireScope { return .nothingRequired }
        guard requirement.scopes.allSatisfy(claims.scope.contains) else { return .insufficientScope }
        guard requirement.models.count <= Requirement.maximumModels else { return .tooManyModels }
        guard let models = claims.models else { return nil }
        if requirement.models.isEmpty { return policy.requireModel ? .insufficientModel : nil }
        let areAllowed = requirement.models.allSatisfy { model in models.contains { $0.matches(model) } }
        return areAllowed ? nil : .insufficientModel
    }
}

/// Why a gateway token is of no use, and what it says where its signature was good: such a refusal is worth a full record.
package struct UnacceptableGatewayToken: Error, Sendable {
    package let fault: Denial.TokenFault
    package let claims: GatewayClaims?
}

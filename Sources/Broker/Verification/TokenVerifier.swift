package import FoundationEssentials
import JOSE
import OpenSSL
package import SPIFFE

/// The verify path: a gateway token and what its gateway requires become a verdict.
///
/// Synchronous, without suspension; callable from any thread. Every check after the signature is made each time, whether the
/// signature was checked now or is remembered.
package struct TokenVerifier: Sendable {
    private let issuer: ExactString
    /// The gateways; never the broker itself.
    private let audiences: Set<ExactString>
    private let audiencesAndBroker: Set<ExactString>
    private let policy: VerifyConfiguration
    private let state: StateHolder
    private let cache: VerificationCache?
    private let failures: FailedVerifications?

    /// - Parameters:
    ///   - cache: of this verifier alone; nil remembers nothing.
    ///   - failures: what holds back those who show too many bad tokens; nil lets everybody go on.
    package init(
        tokens: TokenConfiguration, policy: VerifyConfiguration, state: StateHolder, cache: VerificationCache? = nil,
        failures: FailedVerifications? = nil
    ) {
        issuer = tokens.issuer
        audiences = Set(tokens.audiences).subtracting([tokens.issuer])
        audiencesAndBroker = audiences.union([tokens.issuer])
        self.policy = policy
        self.state = state
        self.cache = cache
        self.failures = failures
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
        from client: () -> FailureHolder? = { nil }, at now: Date
    ) -> Judgement {
        let text = token.reveal()
        return judgement(
            on: text.utf8.span, requiring: requirement, presentedBy: certificate, from: client,
            at: now)
    }

    /// The same for the bytes of a token as they came. Allocates nothing for a token that is remembered and allowed: 0.6 µs,
    /// most of which is the digest.
    /// - Parameters:
    ///   - client: for whom the gateway asks, asked only where a signature has to be checked; nil where nobody is to be held
    ///     back: for a trusted proxy itself.
    ///   - hasTime: whether an unknown token may be looked at now, asked only for those.
    package func judgement(
        on token: Span<UInt8>, requiring requirement: Requirement,
        presentedBy certificate: CertificateFingerprint?, from client: () -> FailureHolder?,
        hasTime: () -> Bool = { true }, at now: Date
    ) -> Judgement {
        switch examine(token, for: audiences, client, hasTime, at: now.timeIntervalSince1970) {
        case .good(let token):
            guard token.mayBeUsed(with: certificate) else {
                return Judgement(verdict: .deny(.token(.certificate)), token: token)
            }
            guard let denial = denial(of: requirement, token.grant) else {
                return Judgement(verdict: .allow(token))
            }
            return Judgement(verdict: .deny(denial), token: token)
        case .bad(let fault, let token, let killer):
            return Judgement(verdict: .deny(.token(fault)), token: token, killer: killer)
        case .unchecked(let denial):
            return Judgement(verdict: .deny(denial))
        }
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
        let text = token.reveal()
        switch examine(text.utf8.span, for: audiencesAndBroker, { nil }, { true }, at: now.timeIntervalSince1970) {
        case .good(let token): return token.claims
        case .bad(let fault, let token, _): throw UnacceptableGatewayToken(fault: fault, claims: token?.claims)
        // Who is nobody is not held back, and time there is.
        case .unchecked: throw UnacceptableGatewayToken(fault: .signature, claims: nil)
        }
    }

    private func denial(of requirement: Requirement, _ grant: VerifiedGrant) -> Denial? {
        if requirement.scopes.isEmpty, policy.requireScope { return .nothingRequired }
        for scope in requirement.scopes where !grant.content.scope.contains(scope) { return .insufficientScope }
        guard requirement.models.count <= Requirement.maximumModels else { return .tooManyModels }
        guard let models = grant.content.models else { return nil }
        if requirement.models.isEmpty { return policy.requireModel ? .insufficientModel : nil }
        let areAllowed = requirement.models.allSatisfy { model in models.contains { $0.matches(model) } }
        return areAllowed ? nil : .insufficientModel
    }
}

// MARK: What a token is by itself

extension TokenVerifier {
    private enum Finding {
        /// Good now, in the right hands.
        case good(VerifiedToken)
        /// With the token, where its signature was good.
        case bad(Denial.TokenFault, VerifiedToken? = nil, Revocation.Target? = nil)
        /// Its signature was not looked at, and why.
        case unchecked(Denial)
    }

    /// - Parameter seconds: since 1970.
    private func examine(
        _ token: Span<UInt8>, for audiences: Set<ExactString>,
        _ client: () -> FailureHolder?, _ hasTime: () -> Bool, at seconds: Double
    ) -> Finding {
        // What is too long is not even digested.
        guard token.count <= CompactJWS.maximumLength else { return .bad(.malformed) }
        let digest = SHA256Digest(of: token)
        guard let cache else { return verify(token, digest, for: audiences, client, hasTime, at: seconds) }
        // Before the look-up: a token that is stamped with this was found good under it.
        let epoch = state.epoch
        guard let known = cache.lookUp(digest) else {
            return verify(token, digest, for: audiences, client, hasTime, at: seconds)
        }
        guard known.stamp == epoch else { return recheck(known.token, digest, in: cache, at: seconds) }
        if let fault = known.token.fault(at: seconds) { return .bad(fault, known.token) }
        return .good(known.token)
    }

    /// A token that is remembered, after the state has changed: everything but its signature.
    @inline(never)
    private func recheck(
        _ token: VerifiedToken, _ digest: SHA256Digest, in cache: VerificationCache, at seconds: Double
    ) -> Finding {
        let state = state.current
        guard state.keyRing.published[token.keyID] != nil else {
            cache.remove(digest, token, for: .key)
            return .bad(.key)
        }
        let dead = state.fault(of: token)
        // What is revoked is kept as it is, so that showing it again costs no signature.
        if dead == nil { cache.stamp(digest, token, with: state.epoch) }
        return finding(on: token, dead, at: seconds)
    }

    /// A token that is not remembered.
    @inline(never)
    private func verify(
        _ token: Span<UInt8>, _ digest: SHA256Digest, for audiences: Set<ExactString>, _ client: () -> FailureHolder?,
        _ hasTime: () -> Bool, at seconds: Double
    ) -> Finding {
        if let cache, cache.forgeries.contains(digest, at: seconds) { return .bad(.signature) }
        // Before it is parsed, which takes as long as all of the refusal.
        guard hasTime() else { return .unchecked(.overloaded) }
        let state = state.current
        let candidate: Candidate
        do {
            candidate = try self.candidate(token, state)
        } catch {
            return .bad(error)
        }
        let holder = failures == nil ? nil : client()
        if let failures, let holder, !failures.admits(holder) {
            return .unchecked(.tooManyFailures)
        }
        let verified: VerifiedToken
        do {
            verified = try self.verified(candidate, for: audiences)
        } catch {
            if error == .signature { cache?.forgeries.insert(digest, at: seconds) }
            if let failures, let holder { failures.note(holder) }
            return .bad(error)
        }
        let dead = state.fault(of: verified)
        if seconds >= verified.expiry {
            if let failures, let holder { failures.note(holder) }
        } else if !verified.isForBroker {
            cache?.insert(digest, verified, stamp: dead == nil ? state.epoch : 0, at: seconds)
        }
        return finding(on: verified, dead, at: seconds)
    }

    private func finding(on token: VerifiedToken, _ dead: BrokerState.Fault?, at seconds: Double) -> Finding {
        if let fault = token.fault(at: seconds) { return .bad(fault, token) }
        if let dead { return .bad(dead.fault, token, dead.killer) }
        return .good(token)
    }

    /// A token of ours by its header, of which nothing else was looked at.
    private struct Candidate {
        let jws: UnopenedJWS
        let keyID: ExactString
        let key: JWK
    }

    /// Of a header's segment, in bytes; ours have some 110. Whoever sends more is not read.
    private static let maximumHeaderLength = 1024

    /// Foreign tokens are told apart here, by no more than their header: before any cryptography, and before anything is
    /// read that somebody may have made as costly as 16 KiB allow.
    private func candidate(_ token: Span<UInt8>, _ state: BrokerState) throws(Denial.TokenFault) -> Candidate {
        let bytes = unsafe token.withUnsafeBufferPointer { unsafe Array($0) }
        guard let jws = try? UnopenedJWS(parsing: bytes, maximumHeaderLength: Self.maximumHeaderLength) else {
            throw .malformed
        }
        // RFC 9068 §4: other kinds of tokens are not access tokens, whoever signed them.
        let isAccessToken = jws.header.type.map { type in
            type.equalsIgnoringASCIICase("at+jwt") || type.equalsIgnoringASCIICase("application/at+jwt")
        }
        guard isAccessToken == true else { throw .type }
        guard let keyID = jws.header.keyID, let key = state.keyRing.published[keyID] else { throw .key }
        guard key.algorithm == jws.header.algorithm else { throw .algorithm }
        return Candidate(jws: jws, keyID: keyID, key: key)
    }

    /// What is cached: the outcome of this alone.
    private func verified(
        _ candidate: Candidate, for audiences: Set<ExactString>
    ) throws(Denial.TokenFault) -> VerifiedToken {
        // A signature that is no base64url is none either.
        guard let jws = try? candidate.jws.verified(with: candidate.key) else { throw .signature }
        guard let json = try? JSONReader.readObject(jws.payload, depth: GatewayClaims.maximumDepth) else {
            throw .malformed
        }
        guard json["iss"]?.string == issuer else { throw .issuer }
        guard let audience = json["aud"]?.string, audiences.contains(audience) else { throw .audience }
        guard let claims = GatewayClaims(json, signedBy: candidate.keyID) else { throw .claims }
        guard claims.isForBroker == (claims.audience == issuer) else { throw .audience }
        return VerifiedToken(claims, from: cache?.grants)
    }
}

extension BrokerState {
    /// Why a token that was good is not any more.
    struct Fault {
        let fault: Denial.TokenFault
        let killer: Revocation.Target?
    }

    /// Everything about a token that another state may see otherwise, but whether its own key is published.
    func fault(of token: VerifiedToken) -> Fault? {
        let claims = token.claims
        // A number that was never given out would escape all that come until then: a store that was set back.
        guard claims.revision <= revocations.highest else { return Fault(fault: .claims, killer: nil) }
        if let killer = revocations.kills(claims) { return Fault(fault: .revoked, killer: killer) }
        // A key stays published for longer than any session lasts that it signed for, unless it is revoked: also where
        // there was no room for the revocation.
        let areKeysGood = claims.ancestorKeys.allSatisfy { keyRing.published[$0] != nil }
        return areKeysGood ? nil : Fault(fault: .revoked, killer: nil)
    }
}

/// Why a gateway token is of no use, and what it says where its signature was good: such a refusal is worth a full record.
package struct UnacceptableGatewayToken: Error, Sendable {
    package let fault: Denial.TokenFault
    package let claims: GatewayClaims?
}

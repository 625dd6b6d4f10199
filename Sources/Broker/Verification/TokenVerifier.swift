package import FoundationEssentials
import JOSE

/// The verify path: a gateway token and what its gateway requires become a verdict.
///
/// Synchronous, without suspension; callable from any thread. Every check after the signature is made each time.
package struct TokenVerifier: Sendable {
    private let issuer: ExactString
    private let audiences: Set<ExactString>
    private let policy: VerifyConfiguration
    private let keyRing: @Sendable () -> KeyRing

    package init(
        tokens: TokenConfiguration, policy: VerifyConfiguration, keyRing: @escaping @Sendable () -> KeyRing
    ) {
        issuer = tokens.issuer
        audiences = Set(tokens.audiences)
        self.policy = policy
        self.keyRing = keyRing
    }

    package func verdict(for token: SecretText, requiring requirement: Requirement, at now: Date) -> Verdict {
        let claims: GatewayClaims
        do throws(Fault) {
            claims = try verified(token, keyRing())
        } catch {
            return .deny(.token(error.fault))
        }
        // No leeway: they are our own clocks and our own tokens.
        let seconds = now.timeIntervalSince1970
        guard seconds < claims.expiry else { return .deny(.token(.expired)) }
        guard seconds >= claims.notBefore else { return .deny(.token(.notYetValid)) }
        if let denial = denial(of: requirement, claims) { return .deny(denial) }
        return .allow(claims)
    }

    private func verified(_ token: SecretText, _ keyRing: KeyRing) throws(Fault) -> GatewayClaims {
        guard let jws = try? CompactJWS(parsing: Array(token.reveal().utf8)) else { throw .init(.malformed) }
        // RFC 9068 §4: other kinds of tokens are not access tokens, whoever signed them.
        let isAccessToken = jws.header.type.map { type in
            type.equalsIgnoringASCIICase("at+jwt") || type.equalsIgnoringASCIICase("application/at+jwt")
        }
        guard isAccessToken == true else { throw .init(.type) }
        // Foreign tokens are told apart before any cryptography.
        guard let claims = try? JSONReader.readObject(jws.payload) else { throw .init(.malformed) }
        guard claims["iss"]?.string == issuer else { throw .init(.issuer) }
        guard let audience = claims["aud"]?.string, audiences.contains(audience) else { throw .init(.audience) }
        guard let keyID = jws.header.keyID, let key = keyRing.published[keyID] else { throw .init(.key) }
        guard key.algorithm == jws.header.algorithm else { throw .init(.algorithm) }
        guard (try? jws.verified(with: key)) != nil else { throw .init(.signature) }
        guard let parsed = GatewayClaims(claims) else { throw .init(.claims) }
        return parsed
    }

    private func denial(of requirement: Requirement, _ claims: GatewayClaims) -> Denial? {
        if requirement.scopes.isEmpty, policy.requireScope { return .nothingRequired }
        guard requirement.scopes.allSatisfy(claims.scope.contains) else { return .insufficientScope }
        guard let models = claims.models else { return nil }
        if requirement.models.isEmpty { return policy.requireModel ? .insufficientModel : nil }
        let areAllowed = requirement.models.allSatisfy { model in models.contains { $0.matches(model) } }
        return areAllowed ? nil : .insufficientModel
    }

    private struct Fault: Error {
        let fault: Denial.TokenFault

        init(_ fault: Denial.TokenFault) {
            self.fault = fault
        }
    }
}

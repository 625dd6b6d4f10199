import JOSE
import OpenSSL
import SPIFFE

/// Why an exchange gave no token: the values of the label `reason`, and the words of the audit record.
package enum RefusalReason: Int, MetricLabel {
    // The proof, or the gateway token, that was presented.
    case malformed, claim, issuer, type, algorithm, key, signature, logoutToken, audience, expired, notYetValid
    case lifetime, keysUnavailable, certificate
    // What its subject asked for.
    case actor, noRule, scope, target, replayed, sessionOver, sessionUnknown, grantChanged, lineage
    case forBroker, signedIn, tokenTooLong, issuedBeforeRestore
    // What administrators have taken back.
    case revoked, blocked
    // What the company's identity provider answered, or that it did not.
    case provider
    // What the person refused who was asked.
    case denied
    // Nothing is wrong with the request.
    case store, mint
}

extension RefusalReason {
    package init(_ reason: AuthenticationFailure.Reason) {
        self =
            switch reason {
            case .jws(.signature): .signature
            case .jws(.algorithm), .algorithm, .jws(.algorithmDoesNotFitKey): .algorithm
            case .jws, .claimsJSON: .malformed
            case .claim: .claim
            case .unknownIssuer, .ambiguousIssuer: .issuer
            case .type: .type
            case .noKeyID, .unknownKey: .key
            case .logoutToken: .logoutToken
            case .audience: .audience
            case .expired: .expired
            case .notYetValid, .issuedInTheFuture: .notYetValid
            case .lifetime: .lifetime
            case .keysUnavailable: .keysUnavailable
            case .svid(let failure): RefusalReason(failure)
            case .certificate(let failure): RefusalReason(failure)
            }
    }

    package init(_ fault: Denial.TokenFault) {
        self =
            switch fault {
            case .missing, .malformed: .malformed
            case .type: .type
            case .issuer: .issuer
            case .audience: .audience
            case .algorithm: .algorithm
            case .key: .key
            case .signature: .signature
            case .expired: .expired
            case .notYetValid: .notYetValid
            case .claims: .claim
            case .certificate: .certificate
            case .revoked: .revoked
            }
    }
}

extension RefusalReason {
    private init(_ failure: JWTSVIDFailure) {
        self =
            switch failure {
            case .jws(.signature): .signature
            case .jws(.algorithm), .algorithm, .jws(.algorithmDoesNotFitKey): .algorithm
            case .jws, .headerMember, .claims: .malformed
            case .type: .type
            case .noKeyID, .unknownKey: .key
            case .claim, .id: .claim
            case .unknownTrustDomain: .issuer
            case .expired: .expired
            case .notYetValid: .notYetValid
            case .audience: .audience
            }
    }

    private init(_ failure: X509SVIDFailure) {
        self =
            switch failure {
            case .unknownTrustDomain: .issuer
            case .path(_, let path) where path.reason == .expired: .expired
            default: .certificate
            }
    }
}

extension RefusalReason {
    init(_ failure: Grant.NarrowingFailure) {
        switch failure {
        case .scope: self = .scope
        case .target: self = .target
        }
    }

    /// - Returns: nil where the request is not at fault.
    init?(_ failure: MintingFailure) {
        switch failure {
        case .sessionOver: self = .sessionOver
        case .tokenTooLong: self = .tokenTooLong
        case .keyRevoked, .cryptography: return nil
        }
    }
}

extension RefusalReason {
    private static let byText = Dictionary(uniqueKeysWithValues: allCases.map { ($0.text, $0) })

    /// The reason that an audit record names.
    init?(text: String) {
        guard let reason = Self.byText[text] else { return nil }
        self = reason
    }
}

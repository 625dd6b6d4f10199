package import JOSE
package import SPIFFE

/// Why a subject token proves nothing. For logs and the audit record; a caller learns less.
package struct AuthenticationFailure: Error, Sendable {
    package enum Reason: Sendable, Equatable {
        case jws(JWSFailure)
        case claimsJSON(JSONFailure)
        /// A claim that every token needs is missing, or has the wrong type or form.
        case claim(String)
        case unknownIssuer
        /// Several issuers are configured for this `iss`, and the audience does not tell which one is meant.
        case ambiguousIssuer
        case type
        case algorithm
        case noKeyID
        case unknownKey
        case logoutToken
        case audience
        case expired, notYetValid, issuedInTheFuture, lifetime
        /// The issuer's keys are not known at the moment: nothing is wrong with the token as far as anyone can tell.
        case keysUnavailable(String)
        case svid(JWTSVIDFailure)
        /// The certificate of the connection, whose handshake was good, proves nothing any more.
        case certificate(X509SVIDFailure)
    }

    package let reason: Reason
    /// Who signed it, where the signature was good: such a refusal is worth a full record.
    package let signer: Signer?

    package struct Signer: Sendable {
        package let issuer: IssuerName
        /// `name:sub`, where `sub` is well-formed; the SPIFFE ID of an SVID.
        package let identity: ExactString?
        package let claims: JSONObject
    }

    init(_ reason: Reason, signer: Signer? = nil) {
        self.reason = reason
        self.signer = signer
    }
}

extension AuthenticationFailure.Reason {
    /// One word for logs, metrics and records.
    package var code: String { RefusalReason(self).text }
}

extension AuthenticationFailure.Reason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .jws(let failure): failure.description
        case .claimsJSON(let failure): "the claims are \(failure)"
        case .claim(let name): "the claim \(name) is missing or malformed"
        case .unknownIssuer: "no issuer of that iss is configured"
        case .ambiguousIssuer: "several issuers are configured for that iss, and aud does not tell which one is meant"
        case .type: "typ is none of JWT and at+jwt"
        case .algorithm: "alg is not on the issuer's list"
        case .noKeyID: "the header has no kid"
        case .unknownKey: "the issuer publishes no key of that kid"
        case .logoutToken: "it is a logout token"
        case .audience: "aud does not contain the audience that is configured for the issuer"
        case .expired: "it has expired"
        case .notYetValid: "it is not yet valid"
        case .issuedInTheFuture: "it was issued in the future"
        case .lifetime: "it lives longer than max_lifetime allows"
        case .svid(let failure): "as a JWT-SVID: \(failure)"
        case .certificate(let failure): "the certificate of the connection: \(failure)"
        case .keysUnavailable(let reason): "the issuer's keys are not available: \(reason)"
        }
    }
}

package import FoundationEssentials
import JOSE
import SPIFFE
import OpenSSL

/// Turns a subject token into a verified subject: an OIDC token (RFC 7519 §7.2, OpenID Connect Core §3.1.3.7, RFC 8725 §3)
/// where its `iss` is configured, and otherwise a JWT-SVID where its `sub` is a SPIFFE ID of a configured trust domain.
///
/// Nothing that the token says is believed before its signature is checked, except which configured issuer to check it
/// against; and no address, key or path ever comes out of the token.
package struct JWTAuthenticator: Sendable {
    /// How far our clock and an issuer's may be apart.
    package static let leeway: TimeInterval = 30
    package static let maximumAudiences = 32
    package static let maximumSubjectLength = 1024

    private let trustedIssuers: [ExactString: [TrustedIssuer]]

    private let svids: JWTSVIDAuthenticator

    package init(_ issuers: [TrustedIssuer], svids: JWTSVIDAuthenticator = JWTSVIDAuthenticator()) {
        trustedIssuers = Dictionary(grouping: issuers, by: \.configuration.issuer)
        self.svids = svids
    }

    /// The identity that `token` proves at the moment `now`.
    ///
    /// Suspends only where the token names a key that is not known yet.
    package func authenticate(
        _ token: SecretText, at now: Date
    ) async throws(AuthenticationFailure) -> VerifiedSubject {
        let jws = try parse(token)
        let claims = try claims(of: jws.payload)
        if claims["iss"]?.string.flatMap({ trustedIssuers[$0] }) == nil {
            switch svids.recognises(claims) {
            case .yes: return try svids.authenticate(token, at: now)
            case .unknownTrustDomain(let id): throw AuthenticationFailure(.svid(.unknownTrustDomain(id)))
            case .no: break
            }
        }
        let issuer = try issuer(of: claims)
        try checkHeader(jws.header, issuer.configuration)
        let key = try await key(for: jws.header, of: issuer)
        let verified: VerifiedJWS
        do {
            verified = try jws.verified(with: key)
        } catch {
            throw AuthenticationFailure(.jws(error))
        }
        // From here on the issuer is speaking.
        return VerifiedSubject(try Proof(verified, claims, issuer.configuration, at: now))
    }

    private func parse(_ token: SecretText) throws(AuthenticationFailure) -> CompactJWS {
        do {
            return try CompactJWS(parsing: Array(token.reveal().utf8))
        } catch {
            throw AuthenticationFailure(.jws(error))
        }
    }

    private func claims(of payload: [UInt8]) throws(AuthenticationFailure) -> JSONObject {
        do {
            return try JSONReader.readObject(payload)
        } catch {
            throw AuthenticationFailure(.claimsJSON(error))
        }
    }

    private func issuer(of claims: JSONObject) throws(AuthenticationFailure) -> TrustedIssuer {
        guard let name = claims["iss"]?.string else { throw AuthenticationFailure(.claim("iss")) }
        guard let candidates = trustedIssuers[name] else { throw AuthenticationFailure(.unknownIssuer) }
        guard candidates.count > 1 else { return candidates[0] }
        let audiences = Self.audiences(of: claims) ?? []
        let meant = candidates.filter { audiences.contains($0.configuration.audience) }
        guard meant.count == 1 else { throw AuthenticationFailure(.ambiguousIssuer) }
        return meant[0]
    }

    private func checkHeader(
        _ header: JWSHeader, _ issuer: IssuerConfiguration
    ) throws(AuthenticationFailure) {
        guard issuer.algorithms.contains(header.algorithm) else { throw AuthenticationFailure(.algorithm) }
        if let type = header.type,
            !["JWT", "at+jwt", "application/at+jwt"].contains(where: type.equalsIgnoringASCIICase)
        {
            throw AuthenticationFailure(.type)
        }
    }

    private func key(for header: JWSHeader, of issuer: TrustedIssuer) async throws(AuthenticationFailure) -> JWK {
        guard let keyID = header.keyID else { throw AuthenticationFailure(.noKeyID) }
        switch await issuer.keys.key(keyID) {
        case .found(let key): return key
        case .unknown: throw AuthenticationFailure(.unknownKey)
        case .unavailable(let reason): throw AuthenticationFailure(.keysUnavailable(reason))
        }
    }

    fileprivate static func audiences(of claims: JSONObject) -> [ExactString]? {
        switch claims["aud"] {
        case .string(let audience): return [audience]
        case .array(let elements) where (1...maximumAudiences).contains(elements.count):
            let audiences = elements.compactMap(\.string)
            return audiences.count == elements.count ? audiences : nil
        default: return nil
        }
    }

    /// That a token's signature was good and its claims are acceptable. Nobody else can make one.
    struct Proof {
        let issuer: IssuerName
        let identity: ExactString
        let claims: JSONObject
        let expiry: Date
        let use: SubjectTokenUse?

        fileprivate init(
            _ verified: VerifiedJWS, _ claims: JSONObject, _ issuer: IssuerConfiguration, at now: Date
        ) throws(AuthenticationFailure) {
            let subject = Self.subject(of: claims)
            let identity = subject.map { ExactString("\(issuer.name):\($0)") }
            do throws(Refusal) {
                guard let identity else { throw .init(.claim("sub")) }
                expiry = try Self.checkTimes(claims, issuer, at: now.timeIntervalSince1970)
                guard let audiences = JWTAuthenticator.audiences(of: claims) else { throw .init(.claim("aud")) }
                guard audiences.contains(issuer.audience) else { throw .init(.audience) }
                // OpenID Connect Back-Channel Logout §2.4: anybody who relays logouts holds such tokens.
                guard claims["events"] == nil else { throw .init(.logoutToken) }
                self.identity = identity
            } catch {
                throw AuthenticationFailure(
                    error.reason, signer: .init(issuer: issuer.name, identity: identity, claims: claims))
            }
            self.issuer = issuer.name
            self.claims = claims
            use = issuer.replay.maximumUses.map { [expiry] uses in
                SubjectTokenUse(
                    key: HashAlgorithm.sha256.digest(Array(issuer.name.text.utf8) + [0] + verified.signingInputDigest),
                    expires: expiry.addingTimeInterval(leeway),
                    notIssuedBefore: Date(timeIntervalSince1970: (claims["iat"]?.number ?? 0) - leeway),
                    maximumUses: uses)
            }
        }

        private static func subject(of claims: JSONObject) -> ExactString? {
            guard let subject = claims["sub"]?.string, !subject.isEmpty,
                subject.utf8.count <= JWTAuthenticator.maximumSubjectLength, !subject.hasControlCharacters
            else { return nil }
            return subject
        }

        /// - Returns: `exp`.
        private static func checkTimes(
            _ claims: JSONObject, _ issuer: IssuerConfiguration, at now: Double
        ) throws(Refusal) -> Date {
            guard let issuedAt = claims["iat"]?.number, issuedAt >= 0 else { throw Refusal(.claim("iat")) }
            guard let expiry = claims["exp"]?.number, expiry >= 0 else { throw Refusal(.claim("exp")) }
            // A fraction is rounded against the holder.
            guard now < expiry.rounded(.down) + leeway else { throw Refusal(.expired) }
            guard issuedAt.rounded(.up) <= now + leeway else { throw Refusal(.issuedInTheFuture) }
            if let value = claims["nbf"] {
                guard let notBefore = value.number, notBefore >= 0 else { throw Refusal(.claim("nbf")) }
                guard notBefore.rounded(.up) <= now + leeway else { throw Refusal(.notYetValid) }
            }
            guard expiry > issuedAt, expiry - issuedAt <= issuer.maximumLifetime.seconds else {
                throw Refusal(.lifetime)
            }
            return Date(timeIntervalSince1970: expiry.rounded(.down))
        }

        private struct Refusal: Error {
            let reason: AuthenticationFailure.Reason

            init(_ reason: AuthenticationFailure.Reason) {
                self.reason = reason
            }
        }
    }
}

/// An issuer with its keys.
package struct TrustedIssuer: Sendable {
    package let configuration: IssuerConfiguration
    package let keys: IssuerKeys

    package init(configuration: IssuerConfiguration, keys: IssuerKeys) {
        self.configuration = configuration
        self.keys = keys
    }
}

import FoundationEssentials
import JOSE
import OpenSSL
package import SPIFFE

/// Turns a JWT-SVID into a verified subject (JWT-SVID §4): its trust domain is that of its `sub`, and the keys are those of
/// that domain's bundle alone. Does not suspend; callable from any thread.
package struct JWTSVIDAuthenticator: Sendable {
    private let trustDomains: [TrustDomain: TrustDomainConfiguration]
    private let bundles: @Sendable () -> TrustBundleSet

    /// - Parameter bundles: those that are trusted at the moment of each call.
    package init(
        _ trustDomains: [TrustDomainConfiguration] = [],
        bundles: @escaping @Sendable () -> TrustBundleSet = { TrustBundleSet() }
    ) {
        self.trustDomains = Dictionary(trustDomains.map { ($0.name, $0) }) { first, _ in first }
        self.bundles = bundles
    }

    /// Whether a token with these claims, which nobody has verified, is a JWT-SVID if it is anything.
    func recognises(_ claims: JSONObject) -> Recognition {
        guard let subject = claims["sub"]?.string, let id = try? SPIFFEID(parsing: subject) else { return .no }
        return trustDomains[id.trustDomain] == nil ? .unknownTrustDomain(id) : .yes
    }

    enum Recognition {
        case yes, no
        case unknownTrustDomain(SPIFFEID)
    }

    func authenticate(_ token: SecretText, at now: Date) throws(AuthenticationFailure) -> VerifiedSubject {
        let unverified: UnverifiedJWTSVID
        do {
            unverified = try UnverifiedJWTSVID(parsing: Array(token.reveal().utf8))
        } catch {
            throw AuthenticationFailure(.svid(error))
        }
        guard let configuration = trustDomains[unverified.id.trustDomain] else {
            throw AuthenticationFailure(.svid(.unknownTrustDomain(unverified.id)))
        }
        let svid: JWTSVID
        do {
            svid = try unverified.verified(
                against: bundles(), audience: configuration.audience, leeway: JWTAuthenticator.leeway, at: now)
        } catch {
            throw AuthenticationFailure(.svid(error), signer: error.isOfSigned ? unverified.signer : nil)
        }
        // From here on the trust domain is speaking.
        do throws(Refusal) {
            return VerifiedSubject(try Proof(svid, configuration, at: now))
        } catch {
            throw AuthenticationFailure(error.reason, signer: unverified.signer)
        }
    }

    /// That a JWT-SVID's signature was good and its claims are acceptable. Nobody else can make one.
    struct Proof {
        let svid: JWTSVID
        let use: SubjectTokenUse?

        fileprivate init(
            _ svid: JWTSVID, _ configuration: TrustDomainConfiguration, at now: Date
        ) throws(Refusal) {
            let life = configuration.maximumLifetime.seconds
            let now = now.timeIntervalSince1970
            let expiry = svid.expiry.timeIntervalSince1970
            // `iat` is not required (JWT-SVID §3). One that is not there must not make a token live longer than one that is.
            guard expiry - now <= life + JWTAuthenticator.leeway else { throw Refusal(.lifetime) }
            if let value = svid.claims["iat"] {
                guard let issuedAt = value.number, issuedAt >= 0 else { throw Refusal(.claim("iat")) }
                guard issuedAt.rounded(.up) <= now + JWTAuthenticator.leeway else { throw Refusal(.issuedInTheFuture) }
                guard expiry > issuedAt, expiry - issuedAt <= life else { throw Refusal(.lifetime) }
            }
            guard svid.claims["events"] == nil else { throw Refusal(.logoutToken) }
            self.svid = svid
            // Without `iat`: what expires so late was too long-lived to be accepted any earlier.
            let issuedAt = svid.claims["iat"]?.number ?? expiry - life
            use = configuration.replay.maximumUses.map { uses in
                let name = IssuerName(configuration.name)
                return SubjectTokenUse(
                    key: HashAlgorithm.sha256.digest(Array(name.text.utf8) + [0] + svid.signingInputDigest),
                    expires: svid.expiry.addingTimeInterval(JWTAuthenticator.leeway),
                    notIssuedBefore: Date(timeIntervalSince1970: issuedAt - JWTAuthenticator.leeway),
                    maximumUses: uses)
            }
        }
    }

    fileprivate struct Refusal: Error {
        let reason: AuthenticationFailure.Reason

        init(_ reason: AuthenticationFailure.Reason) {
            self.reason = reason
        }
    }
}

extension UnverifiedJWTSVID {
    /// Once its signature was found good.
    fileprivate var signer: AuthenticationFailure.Signer {
        AuthenticationFailure.Signer(issuer: IssuerName(id.trustDomain), identity: id.text, claims: claims)
    }
}

extension JWTSVIDFailure {
    /// Whether verifying gives it only after the signature was found good.
    fileprivate var isOfSigned: Bool {
        switch self {
        case .expired, .notYetValid, .audience, .claim: true
        case .jws, .algorithm, .type, .headerMember, .noKeyID, .claims, .id, .unknownTrustDomain, .unknownKey: false
        }
    }
}

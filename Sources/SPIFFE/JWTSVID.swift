package import FoundationEssentials
package import JOSE

/// A JWT-SVID as it was presented, **not verified** (JWT-SVID §2, §3). What it says is a claim of whoever sent it; the way
/// to a `JWTSVID` is `verified(against:audience:leeway:at:)`.
package struct UnverifiedJWTSVID: Sendable {
    package static let maximumAudiences = 32

    /// Of `sub`.
    package let id: SPIFFEID
    package let keyID: ExactString
    /// `aud`: at least one.
    package let audiences: [ExactString]
    /// `exp`, a fraction rounded down.
    package let expiry: Date
    package let claims: JSONObject
    private let jws: CompactJWS

    /// - Throws: unless `token` is in the form of a JWT-SVID. Neither its signature, nor its time, nor whom it is for is
    ///   looked at.
    package init(parsing token: [UInt8]) throws(JWTSVIDFailure) {
        do {
            jws = try CompactJWS(parsing: token)
        } catch {
            throw .jws(error)
        }
        keyID = try Self.checkHeader(jws.header, of: token)
        do {
            claims = try JSONReader.readObject(jws.payload)
        } catch {
            throw .claims(error)
        }
        guard let subject = claims["sub"]?.string else { throw .claim("sub") }
        do {
            id = try SPIFFEID(parsing: subject)
        } catch {
            throw .id(error)
        }
        audiences = try Self.audiences(of: claims)
        guard let expiry = claims["exp"]?.number, expiry >= 0 else { throw .claim("exp") }
        self.expiry = Date(timeIntervalSince1970: expiry.rounded(.down))
    }

    /// The identity, if a key of **its own trust domain** signed the token, for us, and it has not expired.
    /// - Parameter leeway: how far our clock and the issuer's may be apart, in seconds.
    package func verified(
        against bundles: TrustBundleSet, audience: ExactString, leeway: TimeInterval, at now: Date
    ) throws(JWTSVIDFailure) -> JWTSVID {
        guard let bundle = bundles[id.trustDomain] else { throw .unknownTrustDomain(id) }
        guard let key = bundle.jwtKeys[keyID] else { throw .unknownKey(id) }
        let verified: VerifiedJWS
        do {
            verified = try jws.verified(with: key)
        } catch {
            throw .jws(error)
        }
        guard now < expiry.addingTimeInterval(leeway) else { throw .expired(id) }
        if let value = claims["nbf"] {
            guard let notBefore = value.number else { throw .claim("nbf") }
            guard notBefore.rounded(.up) <= now.timeIntervalSince1970 + leeway else { throw .notYetValid(id) }
        }
        guard audiences.contains(audience) else { throw .audience(id) }
        return JWTSVID(self, signingInputDigest: verified.signingInputDigest, epoch: bundle.epoch)
    }

    /// - Returns: `kid`.
    private static func checkHeader(_ header: JWSHeader, of token: [UInt8]) throws(JWTSVIDFailure) -> ExactString {
        // §2.1 lists the families RS, PS and ES alone.
        guard header.algorithm != .EdDSA else { throw .algorithm }
        // A workload identity token (`wit+jwt`) proves nothing to whom it is merely shown.
        guard header.type == nil || header.type == "JWT" || header.type == "JOSE" else { throw .type }
        guard let members = try? JSONReader.readObject(Base64URL.decode(token.prefix { $0 != UInt8(ascii: ".") })),
            members.members.allSatisfy({ ["alg", "kid", "typ"].contains($0.name) })
        else { throw .headerMember }
        guard let keyID = header.keyID else { throw .noKeyID }
        return keyID
    }

    private static func audiences(of claims: JSONObject) throws(JWTSVIDFailure) -> [ExactString] {
        let audiences: [ExactString]
        switch claims["aud"] {
        case .string(let audience): audiences = [audience]
        case .array(let elements) where (1...maximumAudiences).contains(elements.count):
            audiences = elements.compactMap(\.string)
            guard audiences.count == elements.count else { throw .claim("aud") }
        default: throw .claim("aud")
        }
        guard audiences.allSatisfy({ !$0.isEmpty }) else { throw .claim("aud") }
        return audiences
    }
}

/// An identity that a JWT-SVID proved. Made by `UnverifiedJWTSVID` alone.
package struct JWTSVID: Sendable {
    package let id: SPIFFEID
    package let audiences: [ExactString]
    package let expiry: Date
    package let claims: JSONObject
    /// SHA-256 of `header.payload` as presented: what counts as the same token.
    package let signingInputDigest: [UInt8]
    /// Of the bundle that it was verified against.
    package let epoch: BundleEpoch

    fileprivate init(_ token: UnverifiedJWTSVID, signingInputDigest: [UInt8], epoch: BundleEpoch) {
        id = token.id
        audiences = token.audiences
        expiry = token.expiry
        claims = token.claims
        self.signingInputDigest = signingInputDigest
        self.epoch = epoch
    }
}

/// Why a token is not accepted as a JWT-SVID.
package enum JWTSVIDFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case jws(JWSFailure)
    case algorithm, type, headerMember, noKeyID
    case claims(JSONFailure)
    case claim(String)
    case id(SPIFFEIDFailure)
    case unknownTrustDomain(SPIFFEID)
    case unknownKey(SPIFFEID)
    case expired(SPIFFEID)
    case notYetValid(SPIFFEID)
    case audience(SPIFFEID)

    package var description: String {
        switch self {
        case .jws(let failure): failure.description
        case .algorithm: "its algorithm is none of those of JWT-SVIDs"
        case .type: "its typ is neither JWT nor JOSE"
        case .headerMember: "its header has a member other than alg, kid and typ"
        case .noKeyID: "its header has no kid"
        case .claims(let failure): "its claims are \(failure)"
        case .claim(let name): "its claim \(name) is missing or malformed"
        case .id(let failure): "its sub is no SPIFFE ID: \(failure)"
        case .unknownTrustDomain(let id): "\(id): its trust domain is not configured"
        case .unknownKey(let id): "\(id): the bundle of its trust domain has no key of this kid for JWT-SVIDs"
        case .expired(let id): "\(id): it has expired"
        case .notYetValid(let id): "\(id): it is not valid yet"
        case .audience(let id): "\(id): it is not for us"
        }
    }
}

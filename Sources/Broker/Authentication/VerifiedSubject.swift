package import FoundationEssentials
package import JOSE
import SPIFFE

/// An identity whose proof has been checked. Only an authenticator makes one.
package struct VerifiedSubject: Sendable {
    /// Of an SVID, what rules test; never what a token says by this name.
    package static let spiffeIDClaim: ExactString = "spiffe_id"

    /// The configured name of who vouches for it.
    package let issuer: IssuerName
    /// The identity, unambiguous among all issuers: `name:sub`, or the SPIFFE ID.
    package let identity: ExactString
    /// The claims of the proof, as signed; those of an SVID with `spiffe_id`, which is its SPIFFE ID.
    package let claims: JSONObject
    /// When the proof stops being one.
    package let expiry: Date
    /// What presenting the proof uses up; nil where that is not limited.
    package let use: SubjectTokenUse?

    init(_ proof: JWTAuthenticator.Proof) {
        issuer = proof.issuer
        identity = proof.identity
        claims = proof.claims
        expiry = proof.expiry
        use = proof.use
    }

    init(_ proof: JWTSVIDAuthenticator.Proof) {
        let svid = proof.svid
        issuer = IssuerName(svid.id.trustDomain)
        identity = svid.id.text
        claims = Self.claims(svid.claims, of: svid.id)
        expiry = svid.expiry
        use = proof.use
    }

    /// A certificate may be presented as often as its holder likes: that its key is at hand was proved by the handshake.
    init(_ proof: X509SVIDAuthenticator.Proof) {
        let svid = proof.svid
        issuer = IssuerName(svid.id.trustDomain)
        identity = svid.id.text
        claims = Self.claims(["sub": .string(svid.id.text)], of: svid.id)
        expiry = svid.expiry
        use = nil
    }

    private static func claims(_ signed: JSONObject, of id: SPIFFEID) -> JSONObject {
        var members = signed.members.filter { $0.name != spiffeIDClaim }.map { ($0.name, $0.value) }
        members.append((spiffeIDClaim, .string(id.text)))
        return JSONObject(uniqueMembers: members)
    }
}

package import Broker
package import FoundationEssentials
package import JOSE
import OpenSSL
package import SPIFFE

/// A SPIFFE trust domain of a test's own: an authority of X.509-SVIDs and a key for JWT-SVIDs.
package struct TestTrustDomain: Sendable {
    package static let audience: ExactString = "https://daypass.example.com"

    package let name: TrustDomain
    package let ca: TestCA
    /// Signs JWT-SVIDs, which have no `iss`.
    package let signer: TestIssuer

    package init(_ name: String = "prod.example.com") throws {
        self.name = try TrustDomain(parsing: name)
        ca = try TestCA(id: "spiffe://\(name)")
        signer = try TestIssuer("spiffe://\(name)", algorithm: .ES256)
    }

    package func id(_ path: String) -> ExactString { ExactString("spiffe://\(name)\(path)") }

    /// Of everything that the domain signs with.
    package var bundle: TrustBundle {
        get throws { try bundle(authorities: [ca], signers: [signer]) }
    }

    package func bundle(authorities: [TestCA], signers: [TestIssuer]) throws -> TrustBundle {
        try TrustBundle(contents: Self.json(authorities: authorities, signers: signers), of: name)
    }

    /// The bundle in SPIFFE's own format.
    package var bundleJSON: [UInt8] { Self.json(authorities: [ca], signers: [signer]) }

    /// - Parameter refreshHint: in seconds.
    package static func json(
        authorities: [TestCA], signers: [TestIssuer], sequence: Double? = nil, refreshHint: Double? = nil
    ) -> [UInt8] {
        let authorities = authorities.map { authority -> JSONValue in
            var members = JWK.publicMembers(of: authority.key.publicKey)
            _ = members.append("use", "x509-svid")
            _ = members.append("x5c", [.string(ExactString(Data(authority.certificate).base64EncodedString()))])
            return .object(members)
        }
        let keys = signers.map { signer in
            JSONValue.object(signer.jwk.json.merging(["use": "jwt-svid"]).replacing("alg", with: nil))
        }
        var document: JSONObject = ["keys": .array(authorities + keys)]
        if let sequence { _ = document.append("spiffe_sequence", .number(sequence)) }
        if let refreshHint { _ = document.append("spiffe_refresh_hint", .number(refreshHint)) }
        return document.encoded()
    }

    package func configuration(
        maximumLifetime: Duration = .seconds(3600), replay: ReplayPolicy = .standard
    ) throws -> TrustDomainConfiguration {
        TrustDomainConfiguration(
            name: name, bundle: .file(try bundle, path: "/nonexistent"), audience: Self.audience,
            maximumLifetime: maximumLifetime, replay: replay)
    }

    /// A JWT-SVID as SPIRE makes one, but for some claims and members of its header.
    package func token(
        _ path: String = "/ns/ml/sa/scorer", at now: Date, _ changes: JSONObject = [:], header: JSONObject = [:],
        by other: TestIssuer? = nil
    ) throws -> String {
        let issuedAt = now.timeIntervalSince1970.rounded(.down)
        let claims: JSONObject = [
            "sub": .string(id(path)), "aud": [.string(Self.audience)], "iat": .number(issuedAt),
            "exp": .number(issuedAt + 300),
        ]
        return try (other ?? signer).token(claims.merging(changes), header: header)
    }

    /// A workload at the other end of a connection, its chain validated against the domain's own bundle.
    package func peer(
        _ path: String = "/ns/ml/sa/scorer", at now: Date = ManualClock().now,
        edit: (CertificateTemplate) -> CertificateTemplate = { $0 }
    ) throws -> PeerIdentity {
        let chain = [try ca.workload(id(path).string, edit: edit)]
        let svid = try X509SVID.validate(chain, against: TrustBundleSet([bundle]), at: now)
        return PeerIdentity(svid, chain: chain)
    }
}

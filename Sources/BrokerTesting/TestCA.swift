import FoundationEssentials
package import OpenSSL

/// A certificate authority of a trust domain, with a key of its own on P-256: it signs whatever a test wants signed.
package struct TestCA: Sendable {
    /// The common name in its certificate.
    package let name: String
    package let key: PrivateKey
    /// In DER.
    package let certificate: [UInt8]

    /// A root.
    /// - Parameters:
    ///   - id: the SPIFFE ID in its certificate, if it has one.
    ///   - edit: what its certificate says other than usual.
    package init(
        _ name: String = "root", id: String? = "spiffe://example.org", key: PrivateKey? = nil,
        edit: (CertificateTemplate) -> CertificateTemplate = { $0 }
    ) throws {
        let key = try key ?? PrivateKey.generate(.ellipticCurve(.p256))
        let template = CertificateTemplate(authority: name, id: id, publicKey: Self.publicKeyInfo(key.publicKey))
        self.init(name: name, key: key, certificate: try edit(template).signed(by: key, named: name))
    }

    package init(name: String, key: PrivateKey, certificate: [UInt8]) {
        (self.name, self.key, self.certificate) = (name, key, certificate)
    }

    /// An authority below this one.
    package func intermediate(
        _ name: String = "intermediate", id: String? = nil, key: PrivateKey? = nil,
        edit: (CertificateTemplate) -> CertificateTemplate = { $0 }
    ) throws -> TestCA {
        let key = try key ?? PrivateKey.generate(.ellipticCurve(.p256))
        let template = CertificateTemplate(authority: name, id: id, publicKey: Self.publicKeyInfo(key.publicKey))
        return TestCA(name: name, key: key, certificate: try issue(edit(template)))
    }

    /// The DER of a leaf as SPIFFE wants it, but for what `edit` makes of it.
    package func workload(
        _ id: String = "spiffe://example.org/workload", key: PrivateKey? = nil,
        edit: (CertificateTemplate) -> CertificateTemplate = { $0 }
    ) throws -> [UInt8] {
        let key = try key ?? PrivateKey.generate(.ellipticCurve(.p256))
        return try issue(edit(CertificateTemplate(workload: id, publicKey: Self.publicKeyInfo(key.publicKey))))
    }

    package func issue(_ template: CertificateTemplate) throws -> [UInt8] {
        try template.signed(by: key, named: name)
    }

    /// The SubjectPublicKeyInfo of a key on P-256.
    package static func publicKeyInfo(_ key: PublicKey) -> [UInt8] {
        guard let (x, y) = key.coordinates else { preconditionFailure("a key on P-256 is needed") }
        let algorithm = DER.sequence(DER.object(1, 2, 840, 10045, 2, 1), DER.object(1, 2, 840, 10045, 3, 1, 7))
        return DER.sequence(algorithm, DER.bits([0x04] + x + y))
    }
}

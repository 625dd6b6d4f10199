import Foundation
import OpenSSL
import Testing

@Suite struct `An issued certificate` {
    private static let now = Date(timeIntervalSince1970: 1_800_000_000)
    private static let hour = now..<now.addingTimeInterval(3600)

    private struct Chain {
        let root, intermediate, leaf: IssuedCertificate
    }

    private func chain() throws -> Chain {
        let root = try IssuedCertificate(
            .authority, "root", names: [.uri("spiffe://prod.demo")], signedBy: nil, validity: Self.hour)
        let intermediate = try IssuedCertificate(
            .authority, "intermediate", names: [], signedBy: root, validity: Self.hour)
        let leaf = try IssuedCertificate(
            .endEntity, "workload", names: [.uri("spiffe://prod.demo/a,URI:spiffe://evil.demo/b"), .dns("localhost")],
            signedBy: intermediate, validity: Self.hour)
        return Chain(root: root, intermediate: intermediate, leaf: leaf)
    }

    @Test func `says what was asked for, each name byte for byte`() throws {
        let chain = try chain()
        let leaf = chain.leaf.certificate
        #expect(leaf.extensions.uris == [Array("spiffe://prod.demo/a,URI:spiffe://evil.demo/b".utf8)])
        #expect(leaf.notBefore == Self.now && leaf.notAfter == Self.now.addingTimeInterval(3600))
        #expect(!leaf.extensions.isAuthority && leaf.extensions.keyUsage == [.digitalSignature])
        #expect(leaf.extensions.keyUsageIsCritical && leaf.signatureScheme == .ecdsa(.sha256))
        let purposes = try #require(leaf.extensions.extendedKeyUsage)
        #expect(purposes.clientAuthentication && purposes.serverAuthentication)
        for authority in [chain.root, chain.intermediate].map(\.certificate) {
            #expect(authority.extensions.isAuthority && authority.extensions.keyUsage == [.keyCertSign, .crlSign])
        }
        #expect(chain.root.certificate.extensions.uris == [Array("spiffe://prod.demo".utf8)])
    }

    @Test func `has a key, a serial number and a fingerprint that no other has`() throws {
        let (one, other) = (try chain(), try chain())
        let all = [one, other].flatMap { [$0.root, $0.intermediate, $0.leaf] }
        #expect(Set(all.map(\.certificate.fingerprint)).count == 6)
        #expect(Set(all.map(\.certificatePEM)).count == 6)
        // In DER the serial number begins behind two headers and the version; its length is 16 bytes, as 127 bits need.
        for certificate in all.map(\.certificate.der) {
            #expect(Array(certificate.dropFirst(8).prefix(7)) == [0xA0, 3, 2, 1, 2, 2, 16])
        }
    }

    @Test func `leads to its own root, for both purposes and while it is valid, and to no other`() throws {
        let (one, other) = (try chain(), try chain())
        func path(_ roots: [Certificate], at now: Date) throws(CertificatePathFailure) -> CertificatePath {
            try CertificatePath.validate(
                one.leaf.certificate, intermediates: [one.intermediate.certificate], roots: roots, for: .tlsClient,
                at: now)
        }
        let validated = try path([one.root.certificate], at: Self.now)
        #expect(validated.certificates.map(\.der).last == one.root.certificate.der)
        #expect(validated.certificates.count == 3)
        // The other root has the same name and another key.
        #expect(throws: CertificatePathFailure.self) { try path([other.root.certificate], at: Self.now) }
        #expect(throws: CertificatePathFailure.self) {
            try path([one.root.certificate], at: Self.now.addingTimeInterval(-1))
        }
        #expect(throws: CertificatePathFailure.self) {
            try path([one.root.certificate], at: Self.now.addingTimeInterval(3600))
        }
        #expect(
            try CertificatePath.validate(
                one.leaf.certificate, intermediates: [one.intermediate.certificate],
                roots: [one.root.certificate], for: .tlsServer, at: Self.now
            ).certificates.count == 3)
    }

    @Test func `is PEM with its key, which are a pair`() throws {
        let leaf = try chain().leaf
        let pem = leaf.certificatePEM
        #expect(pem.hasPrefix("-----BEGIN CERTIFICATE-----\n") && pem.hasSuffix("\n-----END CERTIFICATE-----\n"))
        #expect(pem.split(separator: "\n").allSatisfy { $0.utf8.count <= 64 })
        let key = try PrivateKey(pem: Array(leaf.keyPEM.utf8).span)
        let message: [UInt8] = [1, 2, 3]
        let signature = try key.signature(over: message.span, scheme: .ecdsa(.p256, .sha256))
        let isPair = leaf.certificate.publicKey.isValidSignature(
            signature.span, over: message.span, scheme: .ecdsa(.p256, .sha256))
        #expect(isPair)
    }
}

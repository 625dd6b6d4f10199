import BrokerTesting
import FoundationEssentials
import JOSE
import OpenSSL
import SPIFFE
import Testing

/// X509-SVID §2 to §5, line by line: checklist 4b.
@Suite struct X509SVIDRuleTests {
    let root: TestCA
    let bundles: TrustBundleSet
    let now = ManualClock().now

    init() throws {
        root = try TestCA()
        bundles = try SPIFFETests.bundles(root)
    }

    private func refusal(
        ofLeaf edit: (CertificateTemplate) -> CertificateTemplate, for purpose: CertificatePath.Purpose = .tlsClient
    ) throws -> X509SVIDFailure? {
        SPIFFETests.refusal(of: [try root.workload(edit: edit)], against: bundles, for: purpose)
    }

    @Test func `a workload's certificate proves its SPIFFE ID, and the result says how long and by which certificate`()
        throws
    {
        let leaf = try root.workload { template in
            var template = template
            template.notAfter = now.addingTimeInterval(600)
            return template
        }
        let svid = try X509SVID.validate([leaf], against: bundles, at: now)
        #expect(svid.id.text == "spiffe://example.org/workload")
        #expect(svid.fingerprint.bytes == HashAlgorithm.sha256.digest(leaf))
        #expect(svid.fingerprint.thumbprint == ExactString(Base64URL.encode(HashAlgorithm.sha256.digest(leaf))))
        #expect(svid.fingerprint == CertificateFingerprint(ofDER: leaf))
        #expect(svid.expiry == now.addingTimeInterval(600))
        #expect(svid.epoch == bundles[.example]?.epoch)
    }

    @Test func `an identity ends with the first certificate of its path that does`() throws {
        let intermediate = try root.intermediate { template in
            var template = template
            template.notAfter = now.addingTimeInterval(60)
            return template
        }
        let chain = [try intermediate.workload(), intermediate.certificate]
        #expect(try X509SVID.validate(chain, against: bundles, at: now).expiry == now.addingTimeInterval(60))
        #expect(
            SPIFFETests.refusal(of: chain, against: bundles, at: now.addingTimeInterval(60))?.pathReason == .expired)
    }

    @Test func `exactly one URI is allowed, and names of other kinds do not count`() throws {
        let id = "spiffe://example.org/workload"
        #expect(try refusal(ofLeaf: { $0.without(.names([])) }) == .leaf(.noURI))
        #expect(try refusal(ofLeaf: { $0.with(.names([.dns("example.org")])) }) == .leaf(.noURI))
        #expect(try refusal(ofLeaf: { $0.with(.names([.uri(id), .uri(id)])) }) == .leaf(.severalURIs(2)))
        #expect(
            try refusal(ofLeaf: { $0.with(.names([.uri(id), .uri("https://example.org/")])) }) == .leaf(.severalURIs(2))
        )
        #expect(
            try refusal(ofLeaf: { $0.with(.names([.uri("https://example.org/"), .uri(id)])) }) == .leaf(.severalURIs(2))
        )
        #expect(try refusal(ofLeaf: { $0.with(.names([.dns("a.example.org"), .uri(id), .dns("b")])) }) == nil)
    }

    @Test(
        arguments: [
            ("spiffe://example.org", .noPath), ("spiffe://example.org/", .id(.emptySegment)),
            ("https://example.org/workload", .id(.scheme)), ("SPIFFE://example.org/workload", .id(.scheme)),
            ("spiffe://EXAMPLE.org/workload", .id(.trustDomainCharacter)), ("", .id(.scheme)),
            ("spiffe://example.org/" + String(repeating: "a", count: 2028), .id(.tooLong)),
        ] as [(String, LeafCertificateFailure)])
    func `the one URI has to be the SPIFFE ID of a workload`(uri: String, reason: LeafCertificateFailure) throws {
        #expect(try refusal(ofLeaf: { $0.with(.names([.uri(uri)])) }) == .leaf(reason))
    }

    @Test func `names have to be critical where the subject is empty`() throws {
        let names = CertificateExtension.names([.uri("spiffe://example.org/workload")])
        var critical = names
        critical.isCritical = true
        for (extensions, reason) in [(names, X509SVIDFailure.leaf(.namesNotCritical)), (critical, nil)] {
            let refusal = try refusal { template in
                var template = template.with(extensions)
                template.subject = ""
                return template
            }
            #expect(refusal == reason)
        }
    }

    @Test func `a leaf is no authority and signs neither certificates nor revocation lists`() throws {
        #expect(try refusal(ofLeaf: { $0.with(.basicConstraints(isAuthority: true)) }) == .leaf(.isAuthority))
        #expect(try refusal(ofLeaf: { $0.with(.keyUsage([.digitalSignature, .keyCertSign])) }) == .leaf(.keyCertSign))
        #expect(try refusal(ofLeaf: { $0.with(.keyUsage([.digitalSignature, .crlSign])) }) == .leaf(.crlSign))
        #expect(try refusal(ofLeaf: { $0.without(.basicConstraints(isAuthority: false)) }) == nil)
    }

    @Test func `a leaf has a critical key usage with digitalSignature`() throws {
        #expect(try refusal(ofLeaf: { $0.without(.keyUsage([])) }) == .leaf(.noKeyUsage))
        #expect(try refusal(ofLeaf: { $0.with(.keyUsage([.keyEncipherment])) }) == .leaf(.noDigitalSignature))
        #expect(
            try refusal(ofLeaf: { $0.with(.keyUsage([.digitalSignature], isCritical: false)) })
                == .leaf(.keyUsageNotCritical))
        #expect(try refusal(ofLeaf: { $0.with(.keyUsage([.digitalSignature, .keyEncipherment])) }) == nil)
    }

    @Test func `an extended key usage that is there has to allow what the certificate is used for`() throws {
        #expect(try refusal(ofLeaf: { $0.without(.extendedKeyUsage([])) }) == nil)
        #expect(try refusal(ofLeaf: { $0.with(.extendedKeyUsage([.client])) }) == nil)
        for usage in [
            CertificateExtension.extendedKeyUsage([.server]), .extendedKeyUsage([.codeSigning]),
            .extendedKeyUsage([], any: true),
        ] {
            #expect(try refusal(ofLeaf: { $0.with(usage) }) == .leaf(.extendedKeyUsage(.tlsClient)))
        }
        #expect(try refusal(ofLeaf: { $0.with(.extendedKeyUsage([.server])) }, for: .tlsServer) == nil)
        #expect(
            try refusal(ofLeaf: { $0.with(.extendedKeyUsage([.client])) }, for: .tlsServer)
                == .leaf(.extendedKeyUsage(.tlsServer)))
    }

    @Test func `a signing certificate is an authority, may sign certificates, and its SPIFFE ID has no path`() throws {
        func refusal(_ id: String?, _ edit: (CertificateTemplate) -> CertificateTemplate) throws -> X509SVIDFailure? {
            let intermediate = try root.intermediate(id: id, edit: edit)
            return SPIFFETests.refusal(
                of: [try intermediate.workload(), intermediate.certificate], against: bundles)
        }
        #expect(try refusal(nil) { $0 } == nil)
        #expect(try refusal("spiffe://example.org") { $0 } == nil)
        // It should be of the leaf's trust domain (§3.2); only the root decides.
        #expect(try refusal("spiffe://other.org") { $0 } == nil)
        #expect(
            try refusal(nil) { $0.with(.basicConstraints(isAuthority: false)) } == .authority(1, .notAuthority))
        #expect(try refusal(nil) { $0.without(.basicConstraints(isAuthority: true)) } == .authority(1, .notAuthority))
        #expect(try refusal(nil) { $0.with(.keyUsage([.crlSign])) } == .authority(1, .noKeyCertSign))
        #expect(try refusal(nil) { $0.without(.keyUsage([])) } == .authority(1, .noKeyCertSign))
        #expect(try refusal("spiffe://example.org/ca") { $0 } == .authority(1, .hasPath))
        #expect(try refusal("SPIFFE://example.org/ca") { $0 } == .authority(1, .id(.scheme)))
        #expect(
            try refusal("spiffe://example.org") { $0.with(.keyUsage([.keyCertSign], isCritical: false)) }
                == .authority(1, .keyUsageNotCritical))
        let two = CertificateExtension.names([.uri("spiffe://example.org"), .uri("https://example.org")])
        #expect(try refusal(nil) { $0.with(two) } == .authority(1, .severalURIs))
    }

    @Test func `a workload cannot sign for another one`() throws {
        let key = try PrivateKey.generate(.ellipticCurve(.p256))
        let workload = TestCA(name: "workload", key: key, certificate: try root.workload(key: key))
        let chain = [try workload.workload("spiffe://example.org/admin"), workload.certificate]
        #expect(SPIFFETests.refusal(of: chain, against: bundles) == .authority(1, .notAuthority))
        #expect(SPIFFETests.refusal(of: [chain[0]], against: bundles)?.pathReason == .untrusted)
    }

    @Test func `an authority cannot be used for authentication, not even a root in the bundle`() throws {
        #expect(SPIFFETests.refusal(of: [root.certificate], against: bundles) == .leaf(.noPath))
        let named = try TestCA(id: nil) { $0.with(.names([.uri("spiffe://example.org/root")])) }
        #expect(SPIFFETests.refusal(of: [named.certificate], against: bundles) == .leaf(.isAuthority))
    }
}

extension X509SVIDFailure {
    var pathReason: CertificatePathFailure.Reason? {
        if case .path(_, let failure) = self { failure.reason } else { nil }
    }

    var certificateReason: CertificateFailure? {
        if case .certificate(_, let failure) = self { failure } else { nil }
    }
}

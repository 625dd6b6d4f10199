import BrokerTesting
import FoundationEssentials
import JOSE
import OpenSSL
import SPIFFE
import Testing

/// Certificates that were made to fool or to exhaust a verifier.
@Suite struct HardCertificateTests {
    let root: TestCA
    let bundles: TrustBundleSet

    init() throws {
        root = try TestCA()
        bundles = try SPIFFETests.bundles(root)
    }

    private func refusal(_ names: [CertificateExtension.Name]) throws -> X509SVIDFailure? {
        SPIFFETests.refusal(of: [try root.workload { $0.with(.names(names)) }], against: bundles)
    }

    @Test func `a URI with a NUL byte is taken whole`() throws {
        let id = Array("spiffe://example.org/admin".utf8)
        #expect(try refusal([.uriBytes(id + [0] + Array(".evil.org".utf8))]) == .leaf(.id(.pathCharacter)))
        #expect(try refusal([.uriBytes(id + [0])]) == .leaf(.id(.pathCharacter)))
        #expect(try refusal([.uriBytes([0] + id)]) == .leaf(.id(.scheme)))
        #expect(
            try refusal([.uriBytes(Array("spiffe://example.org\u{0}/admin".utf8))]) == .leaf(.id(.trustDomainCharacter))
        )
        #expect(try refusal([.uriBytes([])]) == .leaf(.id(.scheme)))
        #expect(try refusal([.uriBytes([0xFF, 0xFE])]) == .leaf(.id(.scheme)))
    }

    @Test func `what a printed list of names would show does not count`() throws {
        // "DNS:a, URI:spiffe://example.org/admin" when printed by OpenSSL
        let fake = "a, URI:spiffe://example.org/admin"
        #expect(try refusal([.dns(fake)]) == .leaf(.noURI))
        #expect(try refusal([.dns("URI:spiffe://example.org/admin")]) == .leaf(.noURI))
        #expect(try refusal([.dns("spiffe://example.org/admin")]) == .leaf(.noURI))
        #expect(try refusal([.dnsBytes([0] + Array("URI:spiffe://example.org/admin".utf8))]) == .leaf(.noURI))
        #expect(
            try refusal([.uri("spiffe://example.org/workload, URI:spiffe://example.org/admin")])
                == .leaf(.id(.pathCharacter)))
        let leaf = try root.workload { $0.with(.names([.dns(fake), .uri("spiffe://example.org/workload")])) }
        #expect(try X509SVID.validate([leaf], against: bundles, at: ManualClock().now).id.path == "/workload")
    }

    @Test func `two extensions of alternative names are refused, in whichever order`() throws {
        let names = ["workload", "admin"].map { CertificateExtension.names([.uri("spiffe://example.org/\($0)")]) }
        for extensions in [names, names.reversed(), [names[0], names[0]]] {
            let leaf = try root.workload { template in
                var template = template.without(.names([]))
                template.extensions += extensions
                return template
            }
            let failure = SPIFFETests.refusal(of: [leaf], against: bundles)?.certificateReason
            #expect(failure == .repeatedExtension)
        }
        let odd = CertificateExtension(DER.object(1, 2, 3, 4), isCritical: false, [5, 0])
        let leaf = try root.workload { template in
            var template = template
            template.extensions += [odd, odd]
            return template
        }
        #expect(SPIFFETests.refusal(of: [leaf], against: bundles)?.certificateReason == .repeatedExtension)
    }

    @Test func `10,000 names, 1 MiB of certificates and crowds of extensions are refused before they cost anything`()
        throws
    {
        let id = CertificateExtension.Name.uri("spiffe://example.org/workload")
        let many = (0..<10_000).map { CertificateExtension.Name.dns("host\($0).example.org") }
        #expect(try refusal(many + [id]) == .chainTooLong)
        #expect(try refusal(many.prefix(1000) + [id]) == .certificate(0, .length))
        let short = Array(repeating: CertificateExtension.Name.dns("a"), count: 256)
        #expect(try refusal(short + [id]) == .certificate(0, .tooManyNames))
        #expect(try refusal(short.dropLast() + [id]) == nil)

        let leaf = try root.workload()
        #expect(
            SPIFFETests.refusal(of: [leaf, [UInt8](repeating: 0x30, count: 1 << 20)], against: bundles) == .chainTooLong
        )
        #expect(SPIFFETests.refusal(of: Array(repeating: leaf, count: 2000), against: bundles) == .tooManyCertificates)
        let long = try root.intermediate { $0.with(.init(DER.object(1, 2, 3, 4), isCritical: false, filler(15_000))) }
        let five = [leaf] + Array(repeating: long.certificate, count: 5)
        #expect(SPIFFETests.refusal(of: five, against: bundles) == .chainTooLong)
        #expect(SPIFFETests.refusal(of: Array(five.dropLast(2)), against: bundles) == nil)
        #expect(SPIFFETests.refusal(of: [], against: bundles) == .noCertificate)

        let crowd = try root.workload { template in
            var template = template
            template.extensions += (0..<61).map {
                CertificateExtension(DER.object(1, 2, 3, 4, $0), isCritical: false, [5, 0])
            }
            return template
        }
        #expect(SPIFFETests.refusal(of: [crowd], against: bundles)?.certificateReason == .tooManyExtensions)
    }

    private func filler(_ count: Int) -> [UInt8] { DER.octets([UInt8](repeating: 0, count: count)) }

    @Test func `a curve by explicit parameters is refused, at the leaf, at an authority and in a bundle`() throws {
        let key = HardKeys.explicitCurve
        func explicit(_ template: CertificateTemplate) -> CertificateTemplate {
            var template = template
            template.publicKey = key
            return template
        }
        let leaf = try root.workload(edit: explicit)
        #expect(SPIFFETests.refusal(of: [leaf], against: bundles) == .certificate(0, .key(.unsupported)))
        let authority = try root.intermediate(edit: explicit)
        let chain = [try root.workload(), authority.certificate]
        #expect(SPIFFETests.refusal(of: chain, against: bundles) == .certificate(1, .key(.unsupported)))
        let bundle = try TrustBundle(pem: pem([authority.certificate]), of: .example)
        #expect(bundle.isEmpty)
        #expect(bundle.ignored.map(\.reason) == [.certificate(.key(.unsupported))])
    }

    @Test(
        arguments: [
            (HardKeys.rsa(bits: 1024), .rsaSize(bits: 1024)), (HardKeys.rsa(bits: 2048, exponent: 3), .rsaExponent),
            (HardKeys.rsa(bits: 8200), .rsaSize(bits: 8200)), (HardKeys.evenModulus, .rsaModulusEven),
            (HardKeys.roca, .rsaROCA), (HardKeys.secp256k1, .unsupported), (HardKeys.smallOrder, .point),
        ] as [([UInt8], KeyFailure)])
    func `a weak key is refused wherever it stands`(key: [UInt8], reason: KeyFailure) throws {
        func weak(_ template: CertificateTemplate) -> CertificateTemplate {
            var template = template
            template.publicKey = key
            return template
        }
        #expect(
            SPIFFETests.refusal(of: [try root.workload(edit: weak)], against: bundles)
                == .certificate(0, .key(reason)))
        let authority = try root.intermediate(edit: weak).certificate
        #expect(
            SPIFFETests.refusal(of: [try root.workload(), authority], against: bundles)
                == .certificate(1, .key(reason)))
        let bundle = try TrustBundle(pem: pem([authority]), of: .example)
        #expect(bundle.ignored.map(\.reason) == [.certificate(.key(reason))])
    }

    @Test(arguments: [
        // ecdsa-with-SHA1, sha1WithRSAEncryption, md5WithRSAEncryption, ecdsa-with-SHA224, id-RSASSA-PSS by default
        DER.object(1, 2, 840, 10045, 4, 1), DER.object(1, 2, 840, 113549, 1, 1, 5),
        DER.object(1, 2, 840, 113549, 1, 1, 4), DER.object(1, 2, 840, 10045, 4, 3, 1),
    ])
    func `a signature with SHA-1, MD5 or SHA-224 is refused`(algorithm: [UInt8]) throws {
        func old(_ template: CertificateTemplate) -> CertificateTemplate {
            var template = template
            template.claimedAlgorithm = DER.sequence(algorithm)
            return template
        }
        let failure = SPIFFETests.refusal(of: [try root.workload(edit: old)], against: bundles)
        #expect(failure?.pathReason == .signatureAlgorithm)
        let authority = try root.intermediate(edit: old)
        let chain = [try authority.workload(), authority.certificate]
        #expect(SPIFFETests.refusal(of: chain, against: bundles)?.pathReason == .signatureAlgorithm)
    }

    @Test func `authorities in a circle lead nowhere`() throws {
        let keys = try (0..<3).map { _ in try PrivateKey.generate(.ellipticCurve(.p256)) }
        // Each signed by the one before it, the first by the last.
        let circle = try (0..<3).map { index in
            let signer = TestCA(name: "ring \((index + 2) % 3)", key: keys[(index + 2) % 3], certificate: [])
            return try signer.intermediate("ring \(index)", key: keys[index])
        }
        let leaf = try circle[0].workload()
        let failure = SPIFFETests.refusal(of: [leaf] + circle.map(\.certificate), against: bundles)
        #expect(failure?.pathReason == .untrusted || failure?.pathReason == .tooLong)
        let twins = try TestCA("twins", id: nil)
        let pair = try [twins.intermediate("twin", key: twins.key), twins.intermediate("twins", key: twins.key)]
        #expect(SPIFFETests.refusal(of: [try pair[0].workload()] + pair.map(\.certificate), against: bundles) != nil)
    }

    @Test func `many authorities of one name cost no more than one path`() throws {
        // Whatever is chosen first is what it stays with: a refusal, and never a search through all combinations.
        let real = try root.intermediate("crowd")
        let others = try (0..<6).map { _ in try TestCA("root", id: nil).intermediate("crowd") }
        let chain = [try real.workload()] + others.map(\.certificate) + [real.certificate]
        #expect(SPIFFETests.refusal(of: chain, against: bundles) != nil)
        #expect(SPIFFETests.refusal(of: [chain[0], real.certificate], against: bundles) == nil)
        let roots = try (0..<99).map { _ in try TestCA().certificate }
        let crowded = try SPIFFETests.bundles(roots)
        #expect(SPIFFETests.refusal(of: [try root.workload()], against: crowded)?.pathReason == .signature)
    }

    @Test func `the same key in a new certificate is the same identity under another fingerprint`() throws {
        let key = try PrivateKey.generate(.ellipticCurve(.p256))
        let now = ManualClock().now
        let first = try X509SVID.validate([try root.workload(key: key)], against: bundles, at: now)
        let second = try root.workload(key: key) { template in
            var template = template
            template.serial = 2
            return template
        }
        let renewed = try X509SVID.validate([second], against: bundles, at: now)
        #expect(first.id == renewed.id)
        #expect(first.fingerprint != renewed.fingerprint)
    }

    @Test func `a certificate has one spelling`() throws {
        let leaf = try root.workload()
        #expect(SPIFFETests.refusal(of: [leaf + [0]], against: bundles) == .certificate(0, .encoding))
        #expect(SPIFFETests.refusal(of: [leaf + leaf], against: bundles) == .certificate(0, .encoding))
        // The same with an indefinite length around it, which BER allows.
        let indefinite: [UInt8] = [0x30, 0x80] + leaf.dropFirst(4) + [0, 0]
        #expect(leaf[1] == 0x82)
        let failure = SPIFFETests.refusal(of: [indefinite], against: bundles)?.certificateReason
        #expect(failure == .encoding)
        #expect(SPIFFETests.refusal(of: [Array(leaf.dropLast())], against: bundles) != nil)
        #expect(SPIFFETests.refusal(of: [[]], against: bundles) != nil)
    }

    @Test func `an extension that decides has one spelling`() throws {
        let uri: [UInt8] = [0x86, 28] + Array("spiffe://example.org/workloa".utf8)
        let usage = DER.object(2, 5, 29, 15)
        let (names, extended) = (DER.object(2, 5, 29, 17), DER.object(2, 5, 29, 37))
        let client: [UInt8] = DER.object(1, 3, 6, 1, 5, 5, 7, 3, 2)
        let good: [(object: [UInt8], value: [UInt8])] = [
            (names, DER.sequence(uri)), (usage, [3, 2, 7, 0x80]), (extended, DER.sequence(client)),
        ]
        for (object, value) in good {
            let count = UInt8(value.count - 2)
            // As it should be; then with something behind it, and with lengths that only BER allows.
            let spellings: [[UInt8]] = [
                value, value + [5, 0], [value[0], 0x81, count] + value.dropFirst(2),
                [value[0], 0x82, 0, count] + value.dropFirst(2),
            ]
            for (index, spelling) in spellings.enumerated() {
                let leaf = try root.workload {
                    $0.with(CertificateExtension(object, isCritical: true, spelling))
                }
                let failure = SPIFFETests.refusal(of: [leaf], against: bundles)?.certificateReason
                #expect(failure == (index == 0 ? nil : .malformedExtension), "\(object) \(spelling)")
            }
        }
    }

    @Test func `a chain that proves nothing leaves nothing in OpenSSL's queue for the next one`() throws {
        let leaf = try root.workload()
        let damaged: [[UInt8]] = [[], [0x30], leaf.dropLast(), leaf + [0]]
        for bad in damaged {
            #expect(SPIFFETests.refusal(of: [bad], against: bundles) != nil)
            #expect(SPIFFETests.refusal(of: [leaf], against: bundles) == nil)
        }
    }
}

import BrokerTesting
import Foundation
import JOSE
import OpenSSL
@testable import SPIFFE
import Testing
import VectorFiles

/// The good and bad certificates and bundles of go-spiffe and java-spiffe, each file of them.
@Suite struct LibraryVectorTests {
    private static let go = "spiffe/go-spiffe"
    private static let java = "spiffe/java-spiffe/java-spiffe-core/src/test/resources/testdata"

    /// A moment within the validity of all that is good.
    private let now = Date(timeIntervalSince1970: 1_585_060_000)  // 2020-03-24 14:26:40 UTC

    /// The certificates of a file, which may be followed by their private key.
    private static func chain(_ path: String) throws -> [[UInt8]] {
        let text = String(decoding: try VectorFiles.bytes(path), as: UTF8.self)
        return try text.components(separatedBy: "-----BEGIN ").filter { $0.hasPrefix("CERTIFICATE-----") }
            .flatMap { try PEMBlocks.certificates(in: Array("-----BEGIN \($0)".utf8)) }
    }

    private func pinned(_ year: Int) -> Date { Date(timeIntervalSince1970: Double(year - 1970) * 31_556_952) }

    @Test(arguments: [go + "/svid/x509svid/testdata", java + "/x509svid"])
    func `the good chain is good with its authority as a root, and with no other`(folder: String) throws {
        let chain = try Self.chain("\(folder)/good-leaf-and-intermediate.pem")
        #expect(chain.count == 2)
        let set = try bundles([chain[1]])
        let svid = try X509SVID.validate(chain, against: set, at: now)
        #expect(svid.id.text == "spiffe://example.org/workload-1")
        #expect(try X509SVID.validate([chain[0]], against: set, at: now) == svid)
        #expect(refusal(of: chain, against: set, at: now.addingTimeInterval(7200))?.pathReason == .expired)
        let other = try bundles(TestCA())
        #expect(refusal(of: chain, against: other, at: now)?.pathReason == .untrusted)
    }

    @Test(arguments: [go + "/svid/x509svid/testdata", java + "/x509svid"])
    func `the good leaf passes every rule and lacks only the authority, which its library did not keep`(
        folder: String
    ) throws {
        let chain = try Self.chain("\(folder)/good-leaf-only.pem")
        #expect(refusal(of: chain, against: try bundles(TestCA()), at: pinned(2023))?.pathReason == .untrusted)
    }

    static let bad: [(String, X509SVIDFailure)] = [
        ("wrong-leaf-ca-true.pem", .leaf(.isAuthority)), ("wrong-leaf-cert-sign.pem", .leaf(.keyCertSign)),
        ("wrong-leaf-crl-sign.pem", .leaf(.crlSign)), ("wrong-leaf-empty-id.pem", .leaf(.noURI)),
        // It lacks digitalSignature because it signs certificates, which is worse and said first.
        ("wrong-leaf-no-digital-signature.pem", .leaf(.keyCertSign)),
        ("wrong-intermediate-no-ca.pem", .authority(1, .notAuthority)),
    ]

    @Test(arguments: [go + "/svid/x509svid/testdata", java + "/x509svid"], bad)
    func `each bad chain is refused for what is wrong with it`(folder: String, vector: (String, X509SVIDFailure)) throws
    {
        let chain = try Self.chain("\(folder)/\(vector.0)")
        #expect(refusal(of: chain, against: try bundles(TestCA()), at: pinned(2023)) == vector.1)
    }

    @Test func `what is no certificate is refused`() throws {
        for path in [
            "\(Self.go)/svid/x509svid/testdata/not-pem", "\(Self.java)/x509svid/corrupted",
            "\(Self.java)/workloadapi/corrupted", "\(Self.go)/svid/x509svid/testdata/corrupt-cert.pem",
        ] {
            let bytes = try VectorFiles.bytes(path)
            #expect(refusal(of: [bytes], against: TrustBundleSet()) != nil, "\(path)")
            #expect(throws: TrustBundleFailure.self, "\(path)") { try TrustBundle(pem: bytes, of: .example) }
        }
    }

    @Test func `java-spiffe's certificates in DER have the ids that they should`() throws {
        let anywhere = TrustBundleSet()
        for (name, id) in [
            ("x509svid/cert.der", "spiffe://example.org/workload-server"),
            ("workloadapi/svid.der", "spiffe://example.org/workload-server"),
        ] {
            let der = try VectorFiles.bytes("\(Self.java)/\(name)")
            let expected = try SPIFFEID(parsing: ExactString(id))
            #expect(refusal(of: [der], against: anywhere) == .unknownTrustDomain(expected), "\(name)")
        }
        for letter in ["a", "b", "c", "d", "e"] {
            let der = try VectorFiles.bytes("\(Self.java)/certs/leaf-\(letter).crt.der")
            let failure = refusal(of: [der], against: anywhere)
            let expected = try SPIFFEID(parsing: ExactString("spiffe://test/\(letter)"))
            #expect(failure == .unknownTrustDomain(expected), "\(letter)")
        }
    }

    @Test func `java-spiffe's internal certificates are refused and accepted as they should`() throws {
        let bundle = try TrustBundle(
            pem: try VectorFiles.bytes("\(Self.java)/internal/bundle.pem"), of: .domain("other.org"))
        #expect(bundle.authorities.count == 1)
        let set = try TrustBundleSet([bundle])
        let moment = Date(timeIntervalSince1970: 1_584_648_000)  // 2020-03-19 20:00 UTC
        let own = try Self.chain("\(Self.java)/internal/cert2.pem")
        #expect(try X509SVID.validate(own, against: set, at: moment).id.text == "spiffe://other.org/test")
        let foreign = try Self.chain("\(Self.java)/internal/cert.pem")
        let id = try SPIFFEID(parsing: "spiffe://example.org/test")
        #expect(refusal(of: foreign, against: set, at: moment) == .unknownTrustDomain(id))
        let asExample = try bundles([bundle.authorities[0].der])
        #expect(refusal(of: foreign, against: asExample, at: moment)?.pathReason == .untrusted)
    }

    @Test(arguments: [go + "/bundle/x509bundle/testdata", java + "/x509bundle"])
    func `PEM bundles of weak roots are read and hold nothing to use`(folder: String) throws {
        for (name, count) in [("cert.pem", 1), ("certs.pem", 2)] {
            let bundle = try TrustBundle(pem: try VectorFiles.bytes("\(folder)/\(name)"), of: .example)
            #expect(bundle.isEmpty && bundle.ignored.count == count)
            // Version 1, with RSA keys of 768 bits.
            #expect(bundle.ignored.allSatisfy { $0.reason == .certificate(.version) })
        }
        #expect(try TrustBundle(pem: try VectorFiles.bytes("\(folder)/empty.pem"), of: .example).isEmpty)
        for name in ["corrupted.pem", "not-pem.pem"] {
            #expect(throws: TrustBundleFailure.self) {
                try TrustBundle(pem: try VectorFiles.bytes("\(folder)/\(name)"), of: .example)
            }
        }
    }

    @Test func `java-spiffe's federated bundle is one, and its DER is an authority`() throws {
        let federated = try TrustBundle(
            pem: try VectorFiles.bytes("\(Self.java)/workloadapi/federated-bundle.pem"), of: .domain("local"))
        #expect(federated.authorities.count == 1 && federated.ignored.isEmpty)
        let bundle = try TrustBundle(
            pem: pem([try VectorFiles.bytes("\(Self.java)/workloadapi/bundle.der")]), of: .example)
        #expect(bundle.authorities.count + bundle.ignored.count == 1)
    }

    struct Bundle: Sendable, CustomTestStringConvertible {
        let file: String
        var authorities = 0
        var keys = 0
        var ignored: [BundleEntryFailure] = []
        var sequence: UInt64?
        var testDescription: String { file }
    }

    static let jsonBundles = [
        Bundle(file: go + "/bundle/spiffebundle/testdata/spiffebundle_valid_1.json", authorities: 1, keys: 1),
        Bundle(
            file: go + "/bundle/spiffebundle/testdata/spiffebundle_valid_2.json", authorities: 1, keys: 6, sequence: 1),
        // go-spiffe refuses a second certificate in x5c; X509-SVID §6.2 demands that all but the first be ignored.
        Bundle(file: go + "/bundle/spiffebundle/testdata/spiffebundle_multiple_x509.json", authorities: 1, keys: 1),
        Bundle(
            file: go + "/bundle/spiffebundle/testdata/spiffebundle_valid_with_wit.json", authorities: 1, keys: 2,
            ignored: [.use, .use], sequence: 1),
        // go-spiffe refuses the bundle; the entry is what is wrong.
        Bundle(
            file: go + "/bundle/spiffebundle/testdata/spiffebundle_missing_kid.json", authorities: 1,
            ignored: [.jwk(.member("kid"))]),
        Bundle(file: java + "/workloadapi/bundle.json", keys: 3),
        // Plain JWK Sets: without `use` no entry says what it is for.
        Bundle(file: go + "/bundle/jwtbundle/testdata/jwks_valid_1.json", ignored: [.use]),
        Bundle(file: go + "/bundle/jwtbundle/testdata/jwks_valid_2.json", ignored: [.use, .use]),
        Bundle(file: go + "/bundle/jwtbundle/testdata/jwks_missing_kid.json", ignored: [.use, .use]),
        Bundle(file: go + "/exp/bundle/witbundle/testdata/jwks_valid_1.json", ignored: [.use]),
        Bundle(file: go + "/exp/bundle/witbundle/testdata/jwks_valid_2.json", ignored: [.use, .use]),
        Bundle(file: go + "/exp/bundle/witbundle/testdata/jwks_missing_kid.json", ignored: [.use, .use]),
        Bundle(file: java + "/jwtbundle/jwks_valid_EC_1.json", ignored: [.use]),
        Bundle(file: java + "/jwtbundle/jwks_valid_RSA_1.json", ignored: [.use]),
        Bundle(file: java + "/jwtbundle/jwks_valid_RSA_EC.json", ignored: [.use, .use]),
        Bundle(file: java + "/jwtbundle/jwks_missing_kid.json", ignored: [.use, .use]),
    ]

    @Test(arguments: jsonBundles) func `a bundle in JSON holds what is of use in it`(vector: Bundle) throws {
        let bundle = try TrustBundle(parsing: try VectorFiles.bytes(vector.file), of: .example)
        #expect(bundle.authorities.count == vector.authorities)
        #expect(bundle.jwtKeys.count == vector.keys)
        #expect(bundle.ignored.map(\.reason) == vector.ignored)
        #expect(bundle.sequence == vector.sequence)
        #expect(bundle.refreshHint == vector.sequence.map { _ in .seconds(60) })
    }

    @Test func `a bundle in JSON without keys is refused`() throws {
        let bytes = try VectorFiles.bytes("\(Self.go)/bundle/spiffebundle/testdata/spiffebundle_no_keys.json")
        #expect(throws: TrustBundleFailure.noKeys) { try TrustBundle(parsing: bytes, of: .example) }
    }

    @Test func `java-spiffe's list of SPIFFE IDs reads`() throws {
        let text = String(decoding: try VectorFiles.bytes("\(Self.java)/spiffeid/spiffeIds.txt"), as: UTF8.self)
        let ids = text.split(whereSeparator: \.isNewline).filter { !$0.isEmpty }
        #expect(!ids.isEmpty)
        for id in ids { #expect(throws: Never.self, "\(id)") { try SPIFFEID(parsing: ExactString(String(id))) } }
    }

    @Test func `no file of theirs is left out`() throws {
        let chains = ["good-leaf-and-intermediate.pem", "good-leaf-only.pem"] + Self.bad.map(\.0)
        let bundles = ["cert.pem", "certs.pem", "corrupted.pem", "empty.pem", "not-pem.pem"]
        let others = [
            "\(Self.go)/svid/x509svid/testdata/not-pem", "\(Self.go)/svid/x509svid/testdata/corrupt-cert.pem",
            "\(Self.java)/x509svid/corrupted", "\(Self.java)/x509svid/cert.der", "\(Self.java)/workloadapi/corrupted",
            "\(Self.java)/workloadapi/svid.der", "\(Self.java)/workloadapi/bundle.der",
            "\(Self.java)/workloadapi/federated-bundle.pem", "\(Self.java)/internal/bundle.pem",
            "\(Self.java)/internal/cert.pem", "\(Self.java)/internal/cert2.pem", "\(Self.java)/spiffeid/spiffeIds.txt",
            "\(Self.go)/bundle/spiffebundle/testdata/spiffebundle_no_keys.json",
        ]
        let read = Set(
            [Self.go + "/svid/x509svid/testdata", Self.java + "/x509svid"].flatMap { f in chains.map { "\(f)/\($0)" } }
                + [Self.go + "/bundle/x509bundle/testdata", Self.java + "/x509bundle"]
                .flatMap { f in bundles.map { "\(f)/\($0)" } }
                + ["a", "b", "c", "d", "e"].map { "\(Self.java)/certs/leaf-\($0).crt.der" }
                + Self.jsonBundles.map(\.file) + others)
        for library in ["spiffe/go-spiffe", "spiffe/java-spiffe"] {
            let folder = VectorFiles.folder.appending(path: library).path
            let files = try FileManager.default.subpathsOfDirectory(atPath: folder).map { "\(library)/\($0)" }.filter {
                var isFolder: ObjCBool = false
                let path = VectorFiles.folder.appending(path: $0).path
                return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
            }
            let unread = files.filter { !read.contains($0) && !$0.hasSuffix("/LICENSE") && !$0.hasSuffix("/COMMIT") }
            #expect(unread == [])
            #expect(files.count > 20)
        }
    }
}

import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import SPIFFE
import Testing
import VectorFiles

/// SPIFFE Trust Domain and Bundle §4 and §5, X509-SVID §6, JWT-SVID §6; checklists 4b.16, 4c.22, 4d, 4e.
@Suite struct TrustBundleTests {
    let root: TestCA
    let jwt: JWK

    init() throws {
        root = try TestCA()
        jwt = JWK(
            keyID: "k1", publicKey: try PrivateKey.generate(.ellipticCurve(.p256)).publicKey, algorithm: nil)
    }

    private var jwtEntry: JSONObject { jwt.json.replacing("use", with: "jwt-svid") }
    private var x509Entry: JSONObject { jwkEntry(root.certificate, root.key.publicKey) }

    private func bundle(_ entries: JSONObject...) throws -> TrustBundle {
        let document: JSONObject = ["keys": .array(entries.map(JSONValue.object))]
        return try TrustBundle(parsing: document.encoded(), of: .example)
    }

    @Test func `a bundle holds authorities and keys, a sequence and a refresh hint`() throws {
        let document: JSONObject = [
            "keys": [.object(x509Entry), .object(jwtEntry)], "spiffe_sequence": 7, "spiffe_refresh_hint": 300,
            "made_by": ["somebody"],
        ]
        let bundle = try TrustBundle(parsing: document.encoded(), of: .example)
        #expect(bundle.authorities.map(\.der) == [root.certificate])
        #expect(bundle.jwtKeys.keys.map(\.self) == ["k1"])
        #expect(bundle.sequence == 7)
        #expect(bundle.refreshHint == .seconds(300))
        #expect(bundle.ignored.isEmpty)
        #expect(bundle.trustDomain == .example)
    }

    @Test func `a bundle with an empty array of keys trusts nobody`() throws {
        let bundle = try bundle()
        #expect(bundle.isEmpty && bundle.ignored.isEmpty && bundle.sequence == nil && bundle.refreshHint == nil)
    }

    @Test(
        arguments: [
            ("{}", .noKeys), (#"{"keys": {}}"#, .noKeys), (#"{"keys": null}"#, .noKeys), ("[]", nil), ("", nil),
            (#"{"keys": [], "keys": []}"#, nil), (#"{"keys": [], "spiffe_sequence": 1.5}"#, .sequence),
            (#"{"keys": [], "spiffe_sequence": -1}"#, .sequence), (#"{"keys": [], "spiffe_sequence": "1"}"#, .sequence),
            (#"{"keys": [], "spiffe_sequence": 18446744073709551616}"#, .sequence),
            (#"{"keys": [], "spiffe_sequence": -9223372036854775808}"#, .sequence),
            (#"{"keys": [], "spiffe_sequence": null}"#, .sequence),
        ] as [(String, TrustBundleFailure?)])
    func `a document that is no bundle is refused`(text: String, reason: TrustBundleFailure?) {
        do throws(TrustBundleFailure) {
            _ = try TrustBundle(parsing: Array(text.utf8), of: .example)
            Issue.record("accepted")
        } catch {
            if let reason { #expect(error == reason) }
            #expect(!error.description.isEmpty)
        }
    }

    @Test(arguments: [0, 1, 1 << 53, (1 << 53) + 1, 1_763_734_921_123_456_789, UInt64.max] as [UInt64])
    func `a sequence is read in all of its 64 bits`(sequence: UInt64) throws {
        let text = #"{"keys": [], "spiffe_sequence": \#(sequence)}"#
        #expect(try TrustBundle(parsing: Array(text.utf8), of: .example).sequence == sequence)
    }

    @Test(arguments: ["0", "-5", "1.5", "\"300\"", "null", "99999999999999999999"])
    func `a refresh hint that says nothing useful is none`(hint: String) throws {
        let text = #"{"keys": [], "spiffe_refresh_hint": \#(hint)}"#
        #expect(try TrustBundle(parsing: Array(text.utf8), of: .example).refreshHint == nil)
    }

    @Test func `an entry whose use or type is missing or unknown is ignored, and the others are used`() throws {
        let bundle = try bundle(
            x509Entry, jwtEntry.replacing("use", with: nil), jwtEntry.replacing("use", with: "sig"),
            jwtEntry.replacing("use", with: "JWT-SVID"), jwtEntry.replacing("use", with: "wit-svid"),
            jwtEntry.replacing("kty", with: nil), jwtEntry.replacing("kty", with: "ec"),
            jwtEntry.replacing("kty", with: "oct"))
        #expect(bundle.authorities.count == 1 && bundle.jwtKeys.isEmpty)
        #expect(bundle.ignored.map(\.index) == Array(1...7))
        #expect(bundle.ignored.map(\.reason) == [.use, .use, .use, .use, .type, .type, .type])
    }

    @Test func `an entry without a certificate in x5c is ignored, and of several the first counts`() throws {
        let other = try TestCA("other")
        let certificates: JSONValue = [
            .string(ExactString(Data(root.certificate).base64EncodedString())),
            .string(ExactString(Data(other.certificate).base64EncodedString())), "not base64",
        ]
        let bundle = try bundle(
            x509Entry.replacing("x5c", with: nil), x509Entry.replacing("x5c", with: []),
            x509Entry.replacing("x5c", with: certificates), x509Entry.replacing("x5c", with: [1]),
            x509Entry.replacing("x5c", with: ["-_-_"]), x509Entry.replacing("x5c", with: "AAAA"))
        #expect(bundle.authorities.map(\.der) == [root.certificate])
        #expect(bundle.ignored.map(\.reason) == [.noCertificate, .noCertificate, .base64, .base64, .noCertificate])
    }

    @Test func `an entry with another key than its certificate is ignored, and one that spells none is used`() throws {
        let other = try PrivateKey.generate(.ellipticCurve(.p256))
        let bundle = try bundle(
            jwkEntry(root.certificate, other.publicKey),
            x509Entry.replacing("x", with: nil).replacing("y", with: nil).replacing("crv", with: nil))
        #expect(bundle.authorities.count == 1)
        #expect(bundle.ignored.map(\.reason) == [.otherKey])
    }

    @Test func `a certificate that is no authority is ignored, wherever the bundle comes from`() throws {
        let leaf = try root.workload()
        let weak = try TestCA("no usage") { $0.without(.keyUsage([])) }
        let named = try TestCA("with a path", id: "spiffe://example.org/authority")
        let bundle = try TrustBundle(
            pem: pem([leaf, weak.certificate, named.certificate, root.certificate]), of: .example)
        #expect(bundle.authorities.map(\.der) == [root.certificate])
        #expect(bundle.ignored.map(\.reason) == [.rule(.notAuthority), .rule(.noKeyCertSign), .rule(.hasPath)])
        let entry = jwkEntry(weak.certificate, weak.key.publicKey)
        #expect(try self.bundle(entry).ignored.map(\.reason) == [.rule(.noKeyCertSign)])
    }

    @Test func `the root of the standard's own example, with a slash behind its trust domain, is an authority`() throws
    {
        let root = try TestCA(id: "spiffe://example.org/")
        #expect(try TrustBundle(pem: pem([root.certificate]), of: .example).authorities.count == 1)
    }

    @Test func `a key for JWT-SVIDs needs a kid, an algorithm of theirs and no private half`() throws {
        let ed25519 = JWK(keyID: "e", publicKey: try PrivateKey.generate(.ed25519).publicKey, algorithm: nil)
        let bundle = try bundle(
            jwtEntry.replacing("kid", with: nil), ed25519.json.replacing("use", with: "jwt-svid"),
            jwtEntry.replacing("d", with: "AAAA"), jwtEntry.replacing("kid", with: 1))
        #expect(bundle.isEmpty)
        #expect(
            bundle.ignored.map(\.reason) == [
                .jwk(.member("kid")), .jwk(.algorithm), .jwk(.privateKey), .jwk(.member("kid")),
            ])
    }

    @Test func `two usable keys of one kid refuse the bundle, and a certificate that stands twice counts once`() throws
    {
        #expect(throws: TrustBundleFailure.duplicateKeyID) { try bundle(jwtEntry, jwtEntry) }
        #expect(try bundle(x509Entry, x509Entry).authorities.count == 1)
    }

    @Test func `a bundle has at most 1 MiB and 100 entries`() throws {
        let entry = JSONValue.object(["kty": "EC"])
        let full: JSONObject = ["keys": .array(Array(repeating: entry, count: 100))]
        #expect(try TrustBundle(parsing: full.encoded(), of: .example).ignored.count == 100)
        let over: JSONObject = ["keys": .array(Array(repeating: entry, count: 101))]
        #expect(throws: TrustBundleFailure.tooManyEntries) { try TrustBundle(parsing: over.encoded(), of: .example) }
        let long = Array(#"{"keys": []}"#.utf8) + [UInt8](repeating: 0x20, count: 1 << 20)
        #expect(throws: TrustBundleFailure.tooLong) { try TrustBundle(parsing: long, of: .example) }
        #expect(throws: TrustBundleFailure.tooLong) { try TrustBundle(pem: long, of: .example) }
        #expect(throws: TrustBundleFailure.tooLong) { try TrustBundleSet(parsingMap: long) }
        let crowd = pem(Array(repeating: root.certificate, count: 101))
        #expect(throws: TrustBundleFailure.tooManyEntries) { try TrustBundle(pem: crowd, of: .example) }
    }

    @Test func `PEM may have comments, Windows line ends and no line end`() throws {
        let text = String(decoding: pem([root.certificate]), as: UTF8.self)
        let variants = [
            "# root\n\(text)\nsubject=/CN=root\n", text.replacing("\n", with: "\r\n"), String(text.dropLast()),
            text.replacing("\n", with: " \n\n"),
        ]
        for variant in variants {
            #expect(try TrustBundle(pem: Array(variant.utf8), of: .example).authorities.count == 1)
        }
        #expect(try TrustBundle(pem: [], of: .example).isEmpty)
        #expect(try TrustBundle(pem: Array(" \n".utf8), of: .example).isEmpty)
    }

    @Test func `a PEM file that holds a private key, is cut off or is something else is refused`() throws {
        let text = String(decoding: pem([root.certificate]), as: UTF8.self)
        let cases: [(String, TrustBundleFailure)] = [
            (text + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", .pemBlock),
            (text.replacing("BEGIN CERTIFICATE", with: "BEGIN TRUSTED CERTIFICATE"), .pemBlock),
            (String(text.dropLast(30)), .pem), ("hello", .pem), (text + text.prefix(200), .pem),
            (text + "-----END CERTIFICATE-----\n", .pemBlock), (text.replacing("M", with: "!"), .pem),
        ]
        for (text, reason) in cases {
            #expect(throws: reason) { try TrustBundle(pem: Array(text.utf8), of: .example) }
        }
        for damaged in [Array(root.certificate.dropLast()), root.certificate + [0], [0x30, 0x00]] {
            #expect(throws: TrustBundleFailure.self) { try TrustBundle(pem: pem([damaged]), of: .example) }
        }
    }

    @Test func `the epoch changes with what is trusted, and with nothing else`() throws {
        let other = try TestCA("other")
        let one = try TrustBundle(pem: pem([root.certificate, other.certificate]), of: .example)
        let turned = try TrustBundle(pem: pem([other.certificate, root.certificate]), of: .example)
        #expect(one.epoch == turned.epoch)
        let first = try TrustBundle(parsing: bundleJSON(x509Entry, sequence: 1), of: .example)
        let second = try TrustBundle(parsing: bundleJSON(x509Entry, sequence: 2), of: .example)
        #expect(first.epoch == second.epoch)
        let pemOnly = try TrustBundle(pem: pem([root.certificate]), of: .example)
        #expect(first.epoch == pemOnly.epoch)
        let others = try [
            one, try bundle(), try bundle(x509Entry, jwtEntry), try bundle(jwtEntry),
            try bundle(jwtEntry.replacing("kid", with: "k2")),
            TrustBundle(pem: pem([root.certificate]), of: .domain("example.com")),
        ]
        #expect(Set(others.map(\.epoch)).count == others.count)
        #expect(!others.map(\.epoch).contains(first.epoch))
    }
}

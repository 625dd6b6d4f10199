import BrokerTesting
import JOSE
import OpenSSL
import SPIFFE
import Testing

/// SPIFFE Federation §4.2 and bundle maps: no two trust domains ever merge. Checklists 4e.28 and 4f.33.
@Suite struct TrustBundleSetTests {
    @Test func `each trust domain keeps its own authorities, and a new bundle replaces the old one whole`() throws {
        let (a, b, newer) = try (TestCA("a"), TestCA("b"), TestCA("newer"))
        let (domainA, domainB) = (TrustDomain.domain("a.org"), TrustDomain.domain("b.org"))
        let set = try TrustBundleSet([
            TrustBundle(pem: pem([a.certificate]), of: domainA), TrustBundle(pem: pem([b.certificate]), of: domainB),
        ])
        #expect(set[domainA]?.authorities.map(\.der) == [a.certificate])
        #expect(set[domainB]?.authorities.map(\.der) == [b.certificate])
        let replaced = try set.replacing(TrustBundle(pem: pem([newer.certificate]), of: domainA))
        #expect(replaced[domainA]?.authorities.map(\.der) == [newer.certificate])
        #expect(replaced[domainB]?.epoch == set[domainB]?.epoch)
        #expect(replaced.removing(domainB)[domainB] == nil)
        #expect(set[.domain("c.org")] == nil)
        #expect(set[.domain("a.or")] == nil)
    }

    @Test func `two bundles of one trust domain are refused`() throws {
        let bundle = try TrustBundle(pem: [], of: .example)
        #expect(throws: TrustBundleFailure.duplicateTrustDomain(.example)) { try TrustBundleSet([bundle, bundle]) }
    }

    @Test func `a bundle map is read whole or not at all`() throws {
        let root = try TestCA()
        let entry = jwkEntry(root.certificate, root.key.publicKey)
        let map: JSONObject = [
            "trust_domains": [
                "a.org": ["keys": [.object(entry)], "spiffe_sequence": 12_035_488], "b.org": ["keys": []],
            ]
        ]
        let set = try TrustBundleSet(parsingMap: map.encoded())
        #expect(set[.domain("a.org")]?.authorities.count == 1)
        #expect(set[.domain("a.org")]?.sequence == 12_035_488)
        #expect(set[.domain("b.org")]?.isEmpty == true)
        #expect(set.trustDomains.count == 2)
        for text in [
            "{}", #"{"trust_domains": []}"#, #"{"trust_domains": {"a.org": {"keys": []}, "a.org": {"keys": []}}}"#,
            #"{"trust_domains": {"a.org": {"keys": []}, "a.\u006frg": {"keys": []}}}"#,
            #"{"trust_domains": {"A.org": {"keys": []}}}"#, #"{"trust_domains": {"a.org": {}}}"#,
            #"{"trust_domains": {"a.org": []}}"#, #"{"trust_domains": {"spiffe://a.org": {"keys": []}}}"#,
        ] {
            #expect(throws: TrustBundleFailure.self) { try TrustBundleSet(parsingMap: Array(text.utf8)) }
        }
        #expect(try TrustBundleSet(parsingMap: Array(#"{"trust_domains": {}}"#.utf8)).trustDomains.isEmpty)
    }
}

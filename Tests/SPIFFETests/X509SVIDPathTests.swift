import BrokerTesting
import FoundationEssentials
import JOSE
import OpenSSL
import SPIFFE
import Testing

/// Which root decides, at which moment, and over how long a path: X509-SVID §5.1, Federation §7.3, checklist 4b.15.
@Suite struct X509SVIDPathTests {
    let root: TestCA
    let now = ManualClock().now

    init() throws {
        root = try TestCA()
    }

    @Test func `an authority that is trusted for one domain cannot sign for another`() throws {
        let other = try TestCA("other root", id: "spiffe://other.org")
        let (example, domain) = (TrustDomain.example, TrustDomain.domain("other.org"))
        let set = try TrustBundleSet([
            TrustBundle(pem: pem([root.certificate]), of: example),
            TrustBundle(pem: pem([other.certificate]), of: domain),
        ])
        let forged = try other.workload("spiffe://example.org/workload")
        #expect(refusal(of: [forged], against: set)?.pathReason == .untrusted)
        let below = try other.intermediate(id: "spiffe://example.org")
        let chain = [try below.workload("spiffe://example.org/workload"), below.certificate]
        #expect(refusal(of: chain, against: set)?.pathReason == .untrusted)
        #expect(refusal(of: chain + [other.certificate], against: set)?.pathReason == .untrusted)
        #expect(refusal(of: [try other.workload("spiffe://other.org/workload")], against: set) == nil)
        let unknown = try SPIFFEID(parsing: "spiffe://third.org/workload")
        #expect(
            refusal(of: [try root.workload("spiffe://third.org/workload")], against: set)
                == .unknownTrustDomain(unknown))
    }

    @Test func `a bundle without an authority makes everything of its domain invalid`() throws {
        let set = try TrustBundleSet([TrustBundle(pem: [], of: .example)])
        let id = try SPIFFEID(parsing: "spiffe://example.org/workload")
        #expect(refusal(of: [try root.workload()], against: set) == .noAuthorities(id))
    }

    @Test func `the same root that signed a renewed bundle away does not count any more`() throws {
        let set = try bundles(root)
        let leaf = try root.workload()
        #expect(refusal(of: [leaf], against: set) == nil)
        let newer = try TestCA("newer")
        let replaced = set.replacing(try TrustBundle(pem: pem([newer.certificate]), of: .example))
        #expect(refusal(of: [leaf], against: replaced)?.pathReason == .untrusted)
    }

    @Test func `an identity is current until it expires, its bundle changes or its trust domain is removed`() throws {
        let set = try bundles(root)
        let svid = try X509SVID.validate([try root.workload()], against: set, at: now)
        #expect(svid.isCurrent(in: set, at: now))
        #expect(svid.isCurrent(in: try bundles(root), at: now.addingTimeInterval(3599.9)))
        #expect(!svid.isCurrent(in: set, at: now.addingTimeInterval(3600)))
        #expect(!svid.isCurrent(in: set.removing(.example), at: now))
        #expect(!svid.isCurrent(in: try bundles(root, TestCA("second")), at: now))
        #expect(!svid.isCurrent(in: try bundles(root, of: .domain("other.org")), at: now))
    }

    @Test func `a root with the name of a trusted one and another key is not trusted`() throws {
        let impostor = try TestCA()
        let set = try bundles(root)
        #expect(impostor.name == root.name)
        #expect(refusal(of: [try impostor.workload()], against: set)?.pathReason == .signature)
        let chain = [try impostor.workload(), impostor.certificate]
        #expect(refusal(of: chain, against: set) != nil)
    }

    @Test(arguments: [1, 2, 8])
    func `of roots of one name the one that signed is found`(count: Int) throws {
        let roots = try (0..<count).map { _ in try TestCA() }
        let set = try bundles(roots.map(\.certificate))
        for root in roots {
            let intermediate = try root.intermediate()
            #expect(refusal(of: [try root.workload()], against: set) == nil)
            let chain = [try intermediate.workload(), intermediate.certificate]
            #expect(refusal(of: chain, against: set) == nil)
        }
    }

    @Test func `a renewed root serves beside the expired one of the same key`() throws {
        let expired = try TestCA(key: root.key) { template in
            var template = template
            template.notAfter = now.addingTimeInterval(-60)
            return template
        }
        let leaf = try root.workload()
        for roots in [[expired, root], [root, expired]] {
            let set = try bundles(roots.map(\.certificate))
            #expect(try X509SVID.validate([leaf], against: set, at: now).expiry == now.addingTimeInterval(3600))
        }
        #expect(refusal(of: [leaf], against: try bundles(expired))?.pathReason == .expired)
        // A bundle's own certificate that is sent along changes nothing.
        #expect(refusal(of: [leaf, root.certificate], against: try bundles(expired))?.pathReason == .expired)
    }

    @Test func `a trusted certificate need not be a root, and what is above it is not needed`() throws {
        let intermediate = try root.intermediate()
        let set = try bundles(intermediate)
        #expect(refusal(of: [try intermediate.workload()], against: set) == nil)
        #expect(refusal(of: [try root.workload()], against: set)?.pathReason == .untrusted)
    }

    @Test func `a certificate is valid from its first second on and not any more at its last`() throws {
        let leaf = try root.workload { template in
            var template = template
            template.notBefore = now.addingTimeInterval(-10)
            template.notAfter = now.addingTimeInterval(10)
            return template
        }
        let set = try bundles(root)
        let cases: [(TimeInterval, CertificatePathFailure.Reason?)] = [
            (-10.001, .notYetValid), (-10, nil), (0, nil), (9.999, nil), (10, .expired), (10.5, .expired),
        ]
        for (offset, reason) in cases {
            let failure = refusal(of: [leaf], against: set, at: now.addingTimeInterval(offset))
            #expect(failure?.pathReason == reason, "\(offset)")
        }
        let svid = try X509SVID.validate([leaf], against: set, at: now)
        #expect(svid.expiry == now.addingTimeInterval(10))
        for moment in [Double.infinity, -.infinity, .nan, 1e300] {
            let failure = refusal(of: [leaf], against: set, at: Date(timeIntervalSince1970: moment))
            #expect(failure?.pathReason == .clock)
        }
    }

    @Test func `a path has at most eight certificates, and a chain as sent as well`() throws {
        var authorities = [root]
        for index in 1...7 { authorities.append(try authorities[index - 1].intermediate("authority \(index)")) }
        let set = try bundles(root)
        func chain(_ count: Int) throws -> [[UInt8]] {
            [try authorities[count].workload()] + authorities[1...count].reversed().map(\.certificate)
        }
        #expect(refusal(of: try chain(1), against: set) == nil)
        #expect(refusal(of: try chain(6), against: set) == nil)
        #expect(refusal(of: try chain(7), against: set)?.pathReason == .tooLong)
        #expect(refusal(of: try chain(7) + [root.certificate], against: set) == .tooManyCertificates)
        // The order of what follows the leaf does not matter, nor does what is not needed.
        let shuffled = try chain(6)
        #expect(refusal(of: [shuffled[0]] + shuffled.dropFirst().reversed(), against: set) == nil)
        #expect(refusal(of: try chain(2) + [root.certificate, try TestCA("stray").certificate], against: set) == nil)
    }

    @Test func `an authority's path length, name constraints and purpose hold for what is below`() throws {
        let set = try bundles(root)
        let narrow = try root.intermediate("narrow") { $0.with(.basicConstraints(isAuthority: true, pathLength: 0)) }
        let below = try narrow.intermediate("below")
        #expect(refusal(of: [try narrow.workload(), narrow.certificate], against: set) == nil)
        let long = [try below.workload(), below.certificate, narrow.certificate]
        #expect(refusal(of: long, against: set)?.pathReason == .pathLength)

        let constraints: [(CertificateExtension, CertificatePathFailure.Reason?)] = [
            (.nameConstraints(permitted: [.uri("example.org")]), nil),
            (.nameConstraints(permitted: [.uri("other.org")]), .nameConstraints),
            (.nameConstraints(excluded: [.uri("example.org")]), .nameConstraints),
            (.nameConstraints(excluded: [.uri("other.org")]), nil),
        ]
        for (constraint, reason) in constraints {
            let authority = try root.intermediate("constrained") { $0.with(constraint) }
            let chain = [try authority.workload(), authority.certificate]
            #expect(refusal(of: chain, against: set)?.pathReason == reason)
        }

        let server = try root.intermediate("server") { $0.with(.extendedKeyUsage([.server])) }
        let chain = [try server.workload(), server.certificate]
        #expect(refusal(of: chain, against: set)?.pathReason == .purpose)
        #expect(refusal(of: chain, against: set, for: .tlsServer) == nil)
    }

    @Test func `a critical extension that nobody knows is refused, an uncritical one passed over`() throws {
        let set = try bundles(root)
        for isCritical in [true, false] {
            let odd = CertificateExtension(DER.object(1, 2, 3, 4), isCritical: isCritical, [5, 0])
            let leaf = try root.workload { $0.with(odd) }
            #expect(refusal(of: [leaf], against: set)?.pathReason == (isCritical ? .criticalExtension : nil))
            let authority = try root.intermediate { $0.with(odd) }
            let chain = [try authority.workload(), authority.certificate]
            #expect(refusal(of: chain, against: set)?.pathReason == (isCritical ? .criticalExtension : nil))
        }
    }

    @Test func `a policy that an authority demands and the path lacks is refused`() throws {
        // RFC 5280 §4.2.1.11: requireExplicitPolicy 0
        let demand = CertificateExtension(
            DER.object(2, 5, 29, 36), isCritical: true, DER.sequence(DER.value(0x80, [0])))
        let authority = try root.intermediate { $0.with(demand) }
        let chain = [try authority.workload(), authority.certificate]
        #expect(refusal(of: chain, against: try bundles(root))?.pathReason == .policy)
    }

    @Test func `a changed certificate has no valid signature`() throws {
        var leaf = try root.workload()
        let text = Array("spiffe://example.org/workload".utf8)
        let start = try #require(leaf.indices.first { leaf[$0...].starts(with: text) })
        leaf[start + text.count - 1] = UInt8(ascii: "e")
        let failure = try #require(refusal(of: [leaf], against: try bundles(root)))
        #expect(failure.pathReason == .signature)
        #expect(failure.description.hasPrefix("spiffe://example.org/workloae: the path has a signature"))
    }
}

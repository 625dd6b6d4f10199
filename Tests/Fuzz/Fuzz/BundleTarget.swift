import JOSE
import OpenSSL
import SPIFFE

/// Trust bundles in JSON, in PEM and in maps: within their bounds, and the same whenever they are read.
enum BundleTarget: FuzzTarget {
    private static let domain: TrustDomain = {
        guard let domain = try? TrustDomain(parsing: "example.org") else { preconditionFailure("no domain") }
        return domain
    }()

    static func run(_ input: [UInt8]) {
        if let bundle = try? TrustBundle(parsing: input, of: domain) {
            check(bundle)
            precondition((try? TrustBundle(parsing: input, of: domain))?.epoch == bundle.epoch, "an epoch that changes")
        }
        if let bundle = try? TrustBundle(pem: input, of: domain) {
            check(bundle)
            precondition(bundle.jwtKeys.isEmpty && bundle.sequence == nil)
        }
        if let set = try? TrustBundleSet(parsingMap: input) {
            for domain in set.trustDomains { precondition(set[domain]?.trustDomain == domain, "domains that merge") }
        }
    }

    private static func check(_ bundle: TrustBundle) {
        precondition(bundle.trustDomain == domain)
        let count = bundle.authorities.count + bundle.jwtKeys.count + bundle.ignored.count
        precondition(count <= TrustBundle.maximumEntries, "too many entries")
        precondition(bundle.authorities.allSatisfy { $0.extensions.isAuthority }, "a leaf that signs")
        precondition(bundle.jwtKeys.allSatisfy { $0 == $1.keyID && $1.publicKey.type != .ed25519 })
        precondition(bundle.ignored.allSatisfy { !"\($0.reason)".isEmpty })
        precondition(bundle.refreshHint.map { $0 > .zero } ?? true)
    }
}

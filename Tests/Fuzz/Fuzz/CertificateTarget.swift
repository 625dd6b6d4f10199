import FoundationEssentials
import OpenSSL
import SPIFFE

/// Certificates: one that is read has one spelling and sound values, and none is ever an identity under roots that did
/// not sign it.
enum CertificateTarget: FuzzTarget {
    /// A root whose private key nobody has any more, for the domains of the corpus.
    private static let bundles: TrustBundleSet = {
        let domains = ["example.org", "test", "other.org"].compactMap { try? TrustDomain(parsing: $0) }
        let set = try? TrustBundleSet(domains.map { try TrustBundle(pem: Array(root.utf8), of: $0) })
        guard let set, domains.count == 3, domains.allSatisfy({ set[$0]?.authorities.count == 1 }) else {
            preconditionFailure("the root is not accepted")
        }
        return set
    }()

    static func run(_ input: [UInt8]) {
        if let certificate = try? Certificate(der: input) {
            precondition(certificate.der == input && input.count <= Certificate.maximumLength)
            precondition(certificate.fingerprint.count == 32)
            precondition(certificate.extensions.uris.count <= Certificate.maximumNames)
            precondition(certificate.extensions.uris.allSatisfy { $0.count < input.count }, "a name from elsewhere")
        }
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        for chain in [[input], halves(of: input)] {
            do {
                _ = try X509SVID.validate(chain, against: bundles, at: now)
                preconditionFailure("a forged certificate is an identity")
            } catch {
                precondition(!"\(error)".isEmpty)
            }
        }
    }

    /// A chain of two, cut where the first value ends.
    private static func halves(of input: [UInt8]) -> [[UInt8]] {
        guard input.count > 4, input[0] == 0x30, input[1] == 0x82 else { return [] }
        let length = 4 + Int(input[2]) << 8 + Int(input[3])
        return length < input.count ? [Array(input[..<length]), Array(input[length...])] : []
    }

    private static let root = """
        -----BEGIN CERTIFICATE-----
        MIIBjjCCATWgAwIBAgIUY5p1OKwi1kCJBzEzvGPrZxf9UBswCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJZnV6eiByb290MCAXDTI2MTEyMTE1MzczMFoYDzIxMjYxMDI4
        MTUzNzMwWjAUMRIwEAYDVQQDDAlmdXp6IHJvb3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAASpR7UM3Kwd3IGgERI80zxpsQ8Zcsw47j0zyBu1NEwJ7n29NZh67qmt
        w56W0GpgKlwqu9SUpgw9k5xzI2pCGOp6o2MwYTAdBgNVHQ4EFgQUpx4KgVfeQDd3
        KGsCXaWqB5oi6lcwHwYDVR0jBBgwFoAUpx4KgVfeQDd3KGsCXaWqB5oi6lcwDwYD
        VR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwCgYIKoZIzj0EAwIDRwAwRAIg
        KET1KEs1SMypbRFv12x8UnhzGWTNOP7r97zJM3DuBMwCIHqGsIlaxtzqE9zOAWZT
        Vv94R4JwZ1YpkcHIcKcVwBWf
        -----END CERTIFICATE-----
        """
}

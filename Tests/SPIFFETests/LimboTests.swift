import Foundation
import OpenSSL
@testable import SPIFFE
import Testing
import VectorFiles

/// x509-limbo's paths (edition of 2023): all 135 are run, each with the result that limbo expects or with another one for
/// a reason that stands here.
///
/// They are paths to TLS servers with DNS names. What is tried is the path and what SPIFFE demands of the certificates in
/// it; that they have no SPIFFE ID, and that limbo marks no key usage critical, is left out.
@Suite struct LimboTests {
    struct File: Decodable {
        let testcases: [Case]
    }

    struct Case: Decodable {
        let id: String
        let expected_result: String
        let trusted_certs: [String]
        let untrusted_intermediates: [String]
        let peer_certificate: String
        let validation_time: String?

        var isExpectedToSucceed: Bool { expected_result == "SUCCESS" }
    }

    /// Refused by limbo, accepted by us: the reason, and the cases.
    static let accepted: [String: [String]] = [
        "our bound on the length is not a parameter": [
            "pathlen::max-chain-depth-0-exhausted",
            "pathlen::max-chain-depth-1-exhausted",
        ],
        "for who makes certificates; X509_V_FLAG_X509_STRICT is off, since SPIRE's own may lack key identifiers": [
            "rfc5280::aki::cross-signed-root-missing-aki",
            "rfc5280::aki::intermediate-missing-aki",
            "rfc5280::aki::leaf-missing-aki",
            "rfc5280::ski::intermediate-missing-ski",
            "rfc5280::ski::root-missing-ski",
        ],
        "for who makes certificates: a name may not be empty; the signature decides who signed": [
            "rfc5280::ca-empty-subject",
            "rfc5280::ee-empty-issuer",
        ],
        "for who makes certificates: serial numbers mean nothing without revocation lists": [
            "rfc5280::serial::too-long",
            "rfc5280::serial::zero",
        ],
        "the constraint of a leaf, which signs for nobody, constrains nothing": [
            "rfc5280::nc::not-allowed-in-ee-critical",
            "rfc5280::nc::not-allowed-in-ee-noncritical",
        ],
        "the constraint counts, critical or not": [
            "rfc5280::nc::permitted-dns-match-noncritical"
        ],
        "a constraint without subtrees constrains nothing": [
            "webpki::nc::intermediate-permitted-excluded-subtrees-both-empty-sequences",
            "webpki::nc::intermediate-permitted-excluded-subtrees-both-null",
        ],
        "DNS names are nobody's identity here": [
            "rfc5280::nc::nc-permits-invalid-dns-san"
        ],
        "the basic constraints count, critical or not": [
            "rfc5280::root-non-critical-basic-constraints"
        ],
        "a rule of the web PKI for public roots": [
            "webpki::aki::root-with-aki-all-fields",
            "webpki::aki::root-with-aki-authoritycertissuer",
            "webpki::aki::root-with-aki-authoritycertserialnumber",
            "webpki::aki::root-with-aki-missing-keyidentifier",
            "webpki::aki::root-with-aki-ski-mismatch",
            "webpki::eku::root-has-eku",
        ],
        "a rule of the web PKI; SPIFFE allows it (X509-SVID §4.4)": [
            "webpki::eku::ee-anyeku",
            "webpki::eku::ee-critical-eku",
            "webpki::eku::ee-without-eku",
        ],
        "an extension that is not critical and nobody reads": [
            "webpki::malformed-aia"
        ],
        "SPIFFE allows it (X509-SVID §3.1)": [
            "webpki::san::san-critical-with-nonempty-subject"
        ],
        "about the host name, which no SVID is checked against": [
            "webpki::san::mismatch-apex-subdomain-san",
            "webpki::san::mismatch-domain-san",
            "webpki::san::mismatch-subdomain-apex-san",
            "webpki::san::mismatch-subdomain-san",
            "webpki::san::no-san",
            "webpki::san::public-suffix-wildcard-san",
            "webpki::san::unicode-emoji-san",
            "webpki::san::wildcard-embedded-leftmost-san",
            "webpki::san::wildcard-embedded-ulabel-san",
            "webpki::san::wildcard-match-across-labels-san",
            "webpki::san::wildcard-not-in-leftmost-san",
        ],
    ]

    /// Accepted by limbo, refused by us.
    static let refused: [String: [String]] = [
        "a leaf that is an authority; no path length can make it a leaf (X509-SVID §4.1)": [
            "pathlen::validation-ignores-pathlen-in-leaf"
        ],
        "SPIFFE demands a key usage (X509-SVID §4.3)": [
            "rfc5280::no-keyusage"
        ],
    ]

    @Test func `limbo's paths have the results that it expects, but for those with a reason`() throws {
        let file = try JSONDecoder().decode(
            File.self, from: VectorFiles.data("x509-limbo/limbo-2023-12-committed.json"))
        #expect(file.testcases.count == 135)
        let (accepted, refused) = (Self.accepted.values.joined(), Self.refused.values.joined())
        for vector in file.testcases {
            let failure = Self.failure(of: vector)
            var expected = vector.isExpectedToSucceed
            if accepted.contains(vector.id) || refused.contains(vector.id) {
                #expect(expected == refused.contains(vector.id), "\(vector.id): no exception")
                expected.toggle()
            }
            #expect((failure == nil) == expected, "\(vector.id): \(failure ?? "accepted")")
        }
        let exceptions = Set(accepted).union(refused)
        #expect(exceptions.count == accepted.count + refused.count)
        #expect(exceptions.isSubset(of: file.testcases.map(\.id)))
    }

    private static func failure(of vector: Case) -> String? {
        do {
            let now = try vector.validation_time.map { try Date($0, strategy: .iso8601) } ?? pinned
            let leaf = try certificate(vector.peer_certificate)
            let intermediates = try vector.untrusted_intermediates.map(certificate)
            // What is no authority by our rules is not in a bundle.
            let roots = vector.trusted_certs.compactMap { try? certificate($0) }
                .filter { (try? SigningCertificateRules.check($0)) != nil }
            for intermediate in intermediates { try SigningCertificateRules.check(intermediate) }
            do {
                try LeafCertificateRules.checkUse(of: leaf.extensions, for: .tlsServer)
            } catch LeafCertificateFailure.keyUsageNotCritical {
                // It is the last of the checks.
            }
            guard !leaf.hasEmptySubject || leaf.extensions.alternativeNamesAreCritical else {
                throw LeafCertificateFailure.namesNotCritical
            }
            _ = try CertificatePath.validate(
                leaf, intermediates: intermediates, roots: roots, for: .tlsServer, at: now)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Where a case names no moment: 2024-01-01.
    private static let pinned = Date(timeIntervalSince1970: 1_704_067_200)

    private static func certificate(_ pem: String) throws -> Certificate {
        let blocks = try PEMBlocks.certificates(in: Array(pem.utf8))
        return try Certificate(der: try #require(blocks.first))
    }
}

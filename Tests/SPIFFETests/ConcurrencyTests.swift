import BrokerTesting
import FoundationEssentials
import JOSE
import OpenSSL
import SPIFFE
import Testing

/// Certificates and bundles are shared by all threads that validate.
@Suite struct ConcurrencyTests {
    @Test func `many validate against one bundle at once, and nobody gets another's answer`() async throws {
        let (root, other) = try (TestCA(), TestCA("other"))
        let set = try bundles(root)
        let now = ManualClock().now
        let intermediate = try root.intermediate()
        let chains = try (0..<8).map { index in
            [try intermediate.workload("spiffe://example.org/workload/\(index)"), intermediate.certificate]
        }
        let forged = [try other.workload()]
        await withTaskGroup { group in
            for index in 0..<400 {
                group.addTask {
                    if index % 5 == 0 {
                        #expect(refusal(of: forged, against: set)?.pathReason == .untrusted)
                    } else {
                        let svid = try? X509SVID.validate(chains[index % 8], against: set, at: now)
                        #expect(svid?.id.path == ExactString("/workload/\(index % 8)"))
                    }
                }
            }
        }
    }
}
